"""Whether rows of a batch stand alone is measured on export, and obeyed wherever a batch is cut."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import rnn_deploy
from rnn_deploy import export
from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli import group
from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.runtimes.split import SplitBatchRunner
from tests.support.models import randomised

DIFFERS = r"'y' of one sequence alone differs from what its batch gives"


def centred(axis):
    """A GRU less its mean over units (-1), or over the batch (0)."""
    x = keras.Input((None, 3), name="x")
    gru = keras.layers.GRU(4, return_sequences=True, name="gru")(x)
    y = keras.layers.Identity(name="y")(gru - keras.ops.mean(gru, axis=axis, keepdims=True))
    return randomised(keras.Model(x, y))


@pytest.fixture(scope="module")
def coupled(tmp_path_factory):
    return export(centred(0), tmp_path_factory.mktemp("rows") / "b", to=("onnx",), long=0)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return export(centred(-1), tmp_path_factory.mktemp("rows") / "b", to=("onnx",), long=0)


def test_rows_that_stand_alone_are_measured(alone):
    for name, batches in (("sequence", 3), ("stream", 4)):
        entry = alone.manifest.entry(name)
        assert entry.rows.reason == f"each row alone gives what it gives in {batches} batches"
        assert entry.why_one_batch is None


def test_what_mixes_rows_is_run_as_one_batch_only(coupled):
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    model = rnn_deploy.load(coupled, "ort-cpu")
    assert model.predict(x).shape == (4, 5, 4)
    with pytest.raises(InputError, match=f"{DIFFERS}, so it cannot be run in batches"):
        model.predict(x, batch_size=2)
    with pytest.raises(InputError, match=f"{DIFFERS}, so streams cannot share a call"):
        model.stream_batch()
    with pytest.raises(BundleError, match=f"a batch cannot be split: {DIFFERS}"):
        SplitBatchRunner(model.runner(), 2)


def test_inspect_says_it(coupled):
    said = CliRunner().invoke(group, ["inspect", str(coupled.root)]).stderr
    assert "sequence: a batch cannot be cut into sequences ('y' of one sequence" in said


@pytest.mark.parametrize(("axis", "ok"), [(0, False), (-1, True)])
def test_a_large_batch_of_samples_is_tried_by_its_first_rows(axis, ok, tmp_path):
    samples = {"x": np.random.default_rng(1).normal(size=(9, 5, 3)).astype(np.float32)}
    x = keras.Input((None, 3), name="x")
    whole = keras.layers.Lambda(lambda v: v - keras.ops.mean(v, axis=axis, keepdims=True))(x)
    model = randomised(keras.Model(x, keras.layers.SimpleRNN(2, name="y")(whole)))
    bundle = export(model, tmp_path / "b", to=("onnx",), long=0, samples=samples)
    assert [entry.rows.ok for entry in bundle.manifest.entries] == [ok, ok]


@pytest.mark.parametrize(("axis", "ok"), [(0, False), (-1, True)])
def test_a_saved_model_is_tried_in_float32(axis, ok, tmp_path):
    centred(axis).export(tmp_path / "saved", verbose=False)
    bundle = export(tmp_path / "saved", tmp_path / "b", to=("onnx",))
    assert bundle.manifest.entry("sequence").rows.ok is ok


def test_a_manifest_without_it_is_of_another_schema(alone, tmp_path):
    data = json.loads((alone.root / "manifest.json").read_text())
    for entry in data["entries"]:
        del entry["rows"]
    (tmp_path / "manifest.json").write_text(json.dumps(data | {"schema_version": 1}))
    with pytest.raises(BundleError, match="schema version 1, this rnn-deploy reads 2"):
        open_bundle(tmp_path)
