"""Labels, feature names, vocabularies and scalers that a user gives."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.bundle import Manifest, ModelSource, open_bundle
from rnn_deploy.bundle.attachments import FILE, Attachments, attachments_of, write_attachments
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.exporting.attachments import attachments_for
from rnn_deploy.exporting.given import given_attachments, scaler_step, vocabulary_step
from rnn_deploy.spec import EntryPoint, TensorSpec
from tests.support.errors import raises

X = TensorSpec("x", ("batch", "time", 2), "float32")
IDS = TensorSpec("ids", ("batch", "time"), "int32", below=5)
Y, P = TensorSpec("y", ("batch", 3), "float32"), TensorSpec("p", ("batch", 1), "float32")
ENTRY = EntryPoint("sequence", (X,), (Y,))
SCALER = {"mean": [1.0, 2.0], "scale": [2.0, 4.0]}


def attached(entry=ENTRY, cut=None, **given):
    return attachments_for(given_attachments(**given), cut or {}, entry)


def test_what_fits_is_kept_by_name():
    found = attached(labels=["a", "b", "c"], features=["u", "v"], scaler=SCALER)
    assert found.labels == {"y": ["a", "b", "c"]}
    assert found.features == {"x": ["u", "v"]}
    (step,) = found.steps["x"]
    assert (step["kind"], step["dtype"]) == ("scaler", "float32")
    two = EntryPoint("sequence", (X, IDS), (Y, P))
    found = attached(two, labels={"p": ["no", "yes"], "y": list("abc")}, features={"x": ["u", "v"]})
    assert set(found.labels) == {"p", "y"}


@pytest.mark.parametrize(
    ("entry", "given", "names"),
    [
        (ENTRY, {"labels": ["a", "b"]}, ["'y ", "3 classes", "2 labels"]),
        (ENTRY, {"labels": ["a", "b", "a"]}, ["--labels"]),
        (ENTRY, {"labels": "abc"}, ["--labels"]),
        (ENTRY, {"labels": {"z": list("abc")}}, ["z", "y"]),
        (EntryPoint("s", (X,), (Y, P)), {"labels": list("abc")}, ["y, p"]),
        (ENTRY, {"features": ["u"]}, ["--features", "2 features"]),
        (ENTRY, {"vocabulary": ["a"]}, ["--vocabulary", "'x "]),
        (EntryPoint("s", (IDS,), (Y,)), {"vocabulary": list("abcd")}, ["up to 5", "below 5"]),
        (ENTRY, {"vocabulary": ["a"], "scaler": SCALER}, ["--scaler"]),
        (ENTRY, {"scaler": {"mean": [1.0] * 3, "scale": [1.0] * 3}}, ["3 features"]),
        (EntryPoint("s", (IDS,), (Y,)), {"scaler": {"mean": 0, "scale": 1}}, ["'ids "]),
    ],
)
def test_what_does_not_fit_the_model_is_refused(entry, given, names):
    with raises(InputError, "E-EXPORT-ATTACHMENT", *names):
        attached(entry, **given)


def test_a_layer_of_the_model_and_an_option_exclude_each_other():
    with raises(InputError, "E-EXPORT-ATTACHMENT", "'ids'", "layer"):
        attached(EntryPoint("s", (IDS,), (Y,)), {"ids": [{"kind": "text"}]}, vocabulary=["a"])


def test_scalers_compute_what_scikit_learn_computes():
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    from rnn_deploy.inference.preprocessing import Preprocessing

    x = np.random.default_rng(0).standard_normal((20, 2)) * [3, 100] + 7
    for scaler, names in (
        (StandardScaler(), ("mean_", "scale_")),
        (MinMaxScaler(), ("min_", "scale_")),
    ):
        expected = scaler.fit_transform(x)
        step = scaler_step({name: getattr(scaler, name) for name in names})
        done = Preprocessing({"x": [{**step, "dtype": "float64"}]}).apply({"x": x})["x"]
        np.testing.assert_allclose(done, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "scaler",
    [
        {"mean": [0.0]},
        {"mean": [0.0], "scale": [0.0]},
        {"min": [0.0], "scale": [0.0]},
        {"mean": [0.0, 1.0], "scale": [1.0]},
        {"mean": [np.nan], "scale": [1.0]},
        {"mean": ["a"], "scale": [1.0]},
        [1, 2],
    ],
)
def test_what_is_no_scaler_is_refused(scaler):
    with raises(InputError, "E-EXPORT-ATTACHMENT", "--scaler"):
        scaler_step(scaler)


@pytest.mark.parametrize(
    "vocabulary",
    ["abc", [], ["a", "a"], ["", "a"], {"a": 1}, {"vocabulary": ["a"], "standardize": "upper"}, 7],
)
def test_what_is_no_vocabulary_is_refused(vocabulary):
    with raises(InputError, "E-EXPORT-ATTACHMENT", "--vocabulary"):
        vocabulary_step(vocabulary)


# In the bundle

MANIFEST_OF = Manifest(ModelSource("live model", "m", "d"), (ENTRY,), (), "g.npz", (), {})


def bundle_with(attachments, root):
    manifest = write_attachments(attachments, MANIFEST_OF, root)
    (root / MANIFEST).write_text(json_from_manifest(manifest))
    return open_bundle(root)


def test_attachments_are_read_as_they_were_written(tmp_path):
    given = attached(labels=["é", "b", "c"], scaler=SCALER)
    bundle = bundle_with(given, tmp_path)
    assert attachments_of(bundle) == given
    assert bundle.manifest.extensions["attachments"].required  # raw numbers would look right
    assert attachments_of(replace(bundle, manifest=MANIFEST_OF)) == Attachments()
    (tmp_path / FILE).write_text("{}")
    with raises(BundleError, "E-BUNDLE-ALTERED", FILE):
        attachments_of(bundle)


def test_nothing_given_writes_nothing(tmp_path):
    assert write_attachments(Attachments(), MANIFEST_OF, tmp_path) is MANIFEST_OF
    assert not list(tmp_path.iterdir())
    labels = bundle_with(Attachments({"y": ["a"]}), tmp_path)
    assert not labels.manifest.extensions["attachments"].required


def test_a_step_of_a_later_version_is_refused(tmp_path):
    bundle = bundle_with(Attachments(steps={"x": [{"kind": "hash"}]}), tmp_path)
    with raises(BundleError, "E-BUNDLE-EXTENSION", "'hash'"):
        attachments_of(bundle)
    json.loads((tmp_path / FILE).read_text())
