"""A bundle with two inputs, an LSTM and an output per sequence, and its packages."""

import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.packaging.triton.packager import PACKAGER
from rnn_deploy.packaging.writing import write_package
from tests.support.models import randomised


def two_inputs():
    import keras

    x = keras.Input((None, 3), name="x")
    ids = keras.Input((None,), name="ids", dtype="int32")
    both = keras.layers.Concatenate()([x, keras.layers.Embedding(7, 4)(ids)])
    z, h, _ = keras.layers.LSTM(5, return_sequences=True, return_state=True, name="l")(both)
    outputs = [keras.layers.Dense(2, name="y")(z), keras.layers.Dense(1, name="s")(h)]
    return randomised(keras.Model([x, ids], outputs, name="two"))


@pytest.fixture(scope="session")
def two(tmp_path_factory):
    from rnn_deploy import export

    return export(two_inputs(), tmp_path_factory.mktemp("triton") / "two", to="onnx", long=0)


@pytest.fixture(scope="session")
def packages(two, tmp_path_factory):
    """The packages of the bundle by backend: their folders."""
    folder = tmp_path_factory.mktemp("packages")
    bundle = open_bundle(two.root)
    for backend in ("onnxruntime", "python"):
        made = PACKAGER.package(bundle, {"backend": backend})
        assert made.notes == ()
        write_package(PACKAGER, bundle, made.files, folder / backend, force=False)
    return {name: folder / name for name in ("onnxruntime", "python")}
