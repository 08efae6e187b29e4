"""What is written into the folder of a bundle."""

from types import SimpleNamespace

import keras

from rnn_deploy.c.files import choices, write
from rnn_deploy.formats.options import ExportOptions
from tests.support.c_models import planned
from tests.support.models import randomised


def test_every_file_is_listed_once_and_both_entry_points_share_them(tmp_path):
    x = keras.Input((None, 3), name="x")
    model = randomised(keras.Model(x, keras.layers.GRU(2, name="gru")(x), name="one"))
    plan, options = planned(model), ExportOptions(("c",))
    files = write(SimpleNamespace(plan=plan), tmp_path, options)
    listed = {a.path for a in files.artifacts} | {*files.extra}
    listed |= {"c/model_weights.c"}
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert found == listed
    assert [a.entry for a in files.artifacts] == [t.entry.name for t in plan.traced]
    assert {choice.layer for _, choice in choices(plan, options)} == {"gru"}
