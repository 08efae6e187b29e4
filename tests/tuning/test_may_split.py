"""A batch is cut only where its rows are sequences of their own."""

import pytest

from rnn_deploy.tuning.tune import may_split
from tests.conftest import randomised


@pytest.mark.parametrize(("coupled", "may"), [(False, True), (True, False)])
@pytest.mark.parametrize("entry", ["sequence", "stream"])
def test_what_looks_along_the_batch_is_not_cut(coupled, may, entry, bundles):
    bundle = bundles[coupled]
    assert bundle.manifest.entry(entry).why_one_batch is None
    assert may_split(bundle, bundle.manifest.entry(entry)) is may


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """By whether rows are coupled: a GRU less its mean over units, or over the batch."""
    import keras

    from rnn_deploy import export

    def exported(axis):
        x = keras.Input((None, 3), name="x")
        y = keras.layers.GRU(4, return_sequences=True, name="gru")(x)
        model = randomised(keras.Model(x, y - keras.ops.mean(y, axis=axis, keepdims=True)))
        return export(model, tmp_path_factory.mktemp("split") / "b", to=("onnx",), long=0)

    return {False: exported(-1), True: exported(0)}
