"""Which files open: every kind is written and opened, as docs/guides/old-files.md says.

`python -m tests.test_old_files` prints the table.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

from rnn_deploy.keras.opening import OpenedModel, open_model
from tests.support import old_files

keras2 = pytest.importorskip("tf_keras")
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
PAGE = Path(__file__).parents[1] / "docs" / "guides" / "old-files.md"
X = np.random.default_rng(0).standard_normal((2, 6, old_files.WIDTH)).astype(np.float32)
JSON, WEIGHTS = "`--weights W.h5`", "`--model-from FILE.py:FUNCTION`"
# Written by, file, option that it needs, package that writes it, function that writes it.
FILES = (
    ("Keras 1", ".h5", "", keras2, old_files.as_keras_1),
    ("Keras 2.0 to 2.3", ".h5", "", keras2, old_files.as_keras_2_2),
    ("Keras 2.3, no input shape", ".h5", "", keras2, old_files.as_keras_2_3_without_a_shape),
    ("tf.keras 2.4 to 2.15, tf_keras", ".h5", "", keras2, old_files.as_h5),
    ("Keras 2.12 to 2.15", ".keras", "", keras2, old_files.as_keras_2_15),
    ("the same on Windows", ".keras", "", keras2, old_files.as_keras_2_15_on_windows),
    ("tf.keras 2", "SavedModel folder", "", keras2, old_files.as_saved_model),
    ("Keras 2", "layers as .json", JSON, keras2, old_files.as_json),
    ("Keras 2", "weights as .h5", WEIGHTS, keras2, old_files.as_weights),
    ("tf.keras 2", "TensorFlow checkpoint", WEIGHTS, keras2, old_files.as_checkpoint),
    ("Keras 3", ".keras", "", keras, old_files.as_keras_3),
    ("Keras 3", ".h5", "", keras, old_files.as_h5),
    ("Keras 3", "layers as .json", JSON, keras, old_files.as_json_of_3),
    ("Keras 3", "weights as .weights.h5", WEIGHTS, keras, old_files.as_weights_of_3),
    ("Keras 3, `model.export`", "SavedModel folder", "", keras, old_files.as_exported),
)
IDS = [f"{by}, {what}" for by, what, *_ in FILES]


def built(package):
    """The model, with random weights. Only Keras 2 had hard sigmoids of slope 0.2."""
    gate = "hard_sigmoid" if package is keras2 else "sigmoid"
    layers = package.layers
    rnn = layers.LSTM(old_files.UNITS, recurrent_activation=gate, return_sequences=True, name="rnn")
    stack = [package.Input((None, old_files.WIDTH)), rnn, layers.Dense(2, "tanh", name="out")]
    model = package.Sequential(stack)
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def outcome(package, write, option, folder):
    """What of the file can be used: the layers, or the function alone."""
    model = built(package)
    place = write(model, folder / "m")
    weights = next((p for p in folder.glob("m*.h5") if p != place), None)
    given = {"weights": weights} if option == JSON else {}
    if option == WEIGHTS:
        given = {"model_from": lambda: built_anew(package)}
    opened = open_model(place, **given)
    if not isinstance(opened, OpenedModel):
        return "the function alone: no states, no stream"
    np.testing.assert_allclose(opened.model(X), model(X), rtol=1e-5, atol=1e-6)
    return "layers, states, stream"


def built_anew(package):
    """The model with other weights."""
    model = built(package)
    model.set_weights([0 * w for w in model.get_weights()])
    return model


def table(outcomes):
    """The table as it stands in the docs."""
    lines = ["| written by | file | add | what you get |", "|---|---|---|---|"]
    for (by, what, option, *_), found in zip(FILES, outcomes, strict=True):
        lines.append(f"| {by} | {what} | {option} | {found} |")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def told():
    """The rows of the table in the docs, by their first cells."""
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("<!-- files -->\n")[2].partition("<!-- end -->")[0]
    rows = [line.split("|")[1:-1] for line in shown.strip().splitlines()[2:]]
    return [tuple(cell.strip() for cell in row) for row in rows]


@pytest.mark.parametrize("index", range(len(FILES)), ids=IDS)
def test_a_file_of_each_version_opens_as_the_docs_say(index, told, tmp_path):
    by, what, option, package, write = FILES[index]
    assert told[index] == (by, what, option, outcome(package, write, option, tmp_path))


def test_the_table_is_complete(told):
    assert len(told) == len(FILES)


if __name__ == "__main__":
    found = []
    for _by, _what, option, package, write in FILES:
        with tempfile.TemporaryDirectory() as folder:
            found.append(outcome(package, write, option, Path(folder)))
    print(table(found))
