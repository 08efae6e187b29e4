import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.bundle.manifest import (
    Artifact,
    Extension,
    FileRecord,
    LoweringChoice,
    Manifest,
    ModelSource,
    json_from_manifest,
    manifest_from_json,
)
from rnn_deploy.bundle.plan import PlanRule, TunedPlan
from rnn_deploy.errors import BundleError
from rnn_deploy.spec import EntryPoint, StateSpec, Support, TensorSpec
from tests.support.errors import raises

names = st.text(min_size=1, max_size=6)
tensors = st.builds(
    TensorSpec,
    names,
    st.lists(st.integers(1, 9) | names, max_size=4).map(tuple),
    st.sampled_from(["float32", "float16", "int32", "int64", "bool"]),
    st.none() | st.integers(1, 99),
)
few_tensors = st.lists(tensors, min_size=1, max_size=2).map(tuple)
supports = st.builds(Support, st.booleans(), names)
states = st.builds(StateSpec, tensors, names, names, st.sampled_from(["h", "c"]))
entries = st.builds(
    EntryPoint, names, few_tensors, few_tensors, st.lists(states, max_size=2).map(tuple), supports
)
choices = st.builds(LoweringChoice, names, names, st.integers(1, 99), names, names)
scalars = st.none() | st.booleans() | st.integers() | names
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2)
)
artifacts = st.builds(
    Artifact, names, names, names, st.lists(choices, max_size=2).map(tuple), st.none() | names,
    st.dictionaries(names, values, max_size=2),
)  # fmt: skip
records = st.builds(FileRecord, names, st.integers(0, 2**40), names)
manifests = st.builds(
    Manifest,
    st.builds(ModelSource, names, names, names),
    st.lists(entries, max_size=2).map(tuple),
    st.lists(artifacts, max_size=2).map(tuple),
    names,
    st.lists(records, max_size=2).map(tuple),
    st.dictionaries(names, names, max_size=2),
    st.lists(names, max_size=2).map(tuple),
    extensions=st.dictionaries(names, st.builds(Extension, values), max_size=2),
)

ENTRY = EntryPoint(
    "sequence",
    (TensorSpec("ids", ("batch", "time"), "int32", 7),),
    (TensorSpec("y", ("batch", 2), "float32"),),
)
MANIFEST = Manifest(
    ModelSource(".keras", "m.keras", "d1"),
    (ENTRY,),
    (
        Artifact(
            "sequence.onnx", "onnx", "sequence", (LoweringChoice("rnn", "simple_rnn", 4, "x", "y"),)
        ),
    ),
    "golden.npz",
    (FileRecord("sequence.onnx", 12, "ab"),),
    {"keras": "3"},
    ("it has no stream",),
)


@given(manifests)
@settings(max_examples=30, deadline=None)
def test_json_gives_the_same_manifest_back(manifest):
    assert manifest_from_json(json_from_manifest(manifest)) == manifest


def test_the_vocabulary_survives_json():
    again = manifest_from_json(json_from_manifest(MANIFEST))
    assert again.entry("sequence").inputs[0].below == 7


def test_every_field_is_in_the_json():
    for field in dataclasses.fields(Manifest):
        assert field.name in json.loads(json_from_manifest(MANIFEST))


def _changed(path, value):
    """The manifest's JSON with the value at `path` replaced."""
    data = json.loads(json_from_manifest(MANIFEST))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize("version", ["1", 1.0, True, None])
def test_a_schema_version_that_is_no_whole_number_is_damage(version):
    with raises(BundleError, "E-BUNDLE-DAMAGED", "schema_version", repr(version)):
        manifest_from_json(_changed(["schema_version"], version))


INPUT = ["entries", 0, "inputs", 0]


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        ([*INPUT, "name"], ["ids"], ["entries[0].inputs[0].name", "['ids']", "str"]),
        ([*INPUT, "shape"], "abc", ["inputs[0].shape", "'abc'", "tuple"]),
        ([*INPUT, "shape"], None, ["shape", "'None'"]),
        ([*INPUT, "shape"], ["batch", 3.0], ["shape[1]", "'3.0'"]),
        ([*INPUT, "shape"], ["batch", None], ["shape[1]", "'None'"]),
        ([*INPUT, "shape"], ["batch", True], ["shape[1]", "'True'"]),
        ([*INPUT, "shape"], ["batch", -3], ["'ids'", "('batch', -3)"]),
        ([*INPUT, "below"], "7", ["below", "'7'", "int"]),
        ([*INPUT, "dtype"], "float99", ["float99"]),
        ([*INPUT, "dtype"], "object", ["'ids'", "'object'"]),
        ([*INPUT, "dtype"], ">f4", ["'ids'", "'>f4'"]),
        ([*INPUT, "dtype"], None, ["dtype", "'None'"]),
        (["files", 0, "path"], 5, ["files[0].path", "'5'", "str"]),
        (["files", 0, "size"], "12", ["size", "'12'", "int"]),
        (["files", 0, "sha256"], None, ["sha256", "'None'", "str"]),
        (["source", "owner"], "me", ["source", "'owner'"]),
        (["source", "digest"], None, ["source.digest", "'None'"]),
        (["owner"], "me", ["the manifest", "'owner'"]),
        (["entries"], None, ["entries", "'None'"]),
        (["entries", 0], "abc", ["entries[0]", "'abc'", "EntryPoint"]),
        (["entries", 0, "outputs"], [], ["'sequence'", "outputs"]),
        (["artifacts", 0, "choices", 0, "lowering"], {}, ["lowering"]),
        (["artifacts", 0, "details"], [], ["artifacts[0].details"]),
        (["extensions"], [], ["extensions"]),
        (["extensions", "later"], {"data": 1}, ["extensions.later", "'required'"]),
        (["extensions", "later"], {"data": 1, "required": "no"}, ["later.required", "'no'"]),
        (["tools"], 5, ["tools", "'5'"]),
        (["tools", "keras"], 3, ["tools.keras", "'3'"]),
        (["plan"], {}, ["plan", "'cores'"]),
        (["entries", 0, "chunked"], {"ok": True, "why": "no"}, ["'reason'"]),
    ],
)
def test_a_damaged_value_is_named(path, value, names):
    with raises(BundleError, "E-BUNDLE-DAMAGED", "manifest.json", *names):
        manifest_from_json(_changed(path, value))


@pytest.mark.parametrize("key", [f.name for f in dataclasses.fields(Manifest)])
def test_a_missing_key_is_named(key):
    data = json.loads(json_from_manifest(MANIFEST))
    del data[key]
    with raises(BundleError, "E-BUNDLE-DAMAGED", f"'{key}'"):
        manifest_from_json(json.dumps(data))


@pytest.mark.parametrize(
    "text", ["", "hello", "{", "null", "[1]", "3", '"manifest"', "[" * 100_000, "{}"]
)
def test_what_is_no_manifest_is_called_damaged(text):
    with raises(BundleError, "E-BUNDLE-DAMAGED"):
        manifest_from_json(text)


def test_an_extension_that_this_version_does_not_know_is_kept_and_ignored():
    text = _changed(["extensions", "later"], {"data": {"any": [1, None]}, "required": False})
    manifest = manifest_from_json(text)
    assert manifest.extensions["later"] == Extension({"any": [1, None]})
    assert manifest_from_json(json_from_manifest(manifest)) == manifest
    assert dataclasses.replace(manifest, extensions={}) == MANIFEST


def test_a_required_extension_is_refused_with_its_name_and_the_version_that_wrote_it():
    wanted = {"later": Extension(None, required=True)}
    manifest = dataclasses.replace(MANIFEST, tools={"rnn-deploy": "9.8.7"}, extensions=wanted)
    with raises(BundleError, "E-BUNDLE-EXTENSION", "'later'", "9.8.7"):
        manifest_from_json(json_from_manifest(manifest))


def test_a_required_extension_that_this_version_understands_is_read(monkeypatch):
    monkeypatch.setattr("rnn_deploy.bundle.manifest.UNDERSTOOD", frozenset({"later"}))
    text = _changed(["extensions", "later"], {"data": 7, "required": True})
    assert manifest_from_json(text).extensions["later"].data == 7


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_cut_manifest_never_opens(data):
    text = json_from_manifest(MANIFEST).rstrip()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with raises(BundleError, "E-BUNDLE-DAMAGED"):
        manifest_from_json(cut)


def test_an_entry_point_that_is_not_there_is_refused_with_those_that_are_and_why():
    with raises(BundleError, "E-BUNDLE-NO-ENTRY", "'stream'", "sequence", "it has no stream"):
        MANIFEST.entry("stream")


@pytest.mark.parametrize(
    ("format", "entry", "found"),
    [("onnx", "sequence", True), ("onnx", "stream", False), ("tflite", "sequence", False)],
)
def test_an_artifact_is_found_by_format_and_entry(format, entry, found):
    assert (MANIFEST.artifact(format, entry) is not None) == found


@pytest.mark.parametrize(
    ("size", "named"), [(0, "0 x 5"), (-1, "-1 x 5"), ("1", "int"), (1.5, "int"), (True, "int")]
)
def test_a_plan_s_rule_of_no_shape_is_refused(size, named):
    rule = PlanRule("sequence", 1, 5, "ort-cpu", "sequence.onnx", 1.0, 1.0)
    plan = TunedPlan("a machine", 4, {}, (rule,))
    data = json.loads(json_from_manifest(dataclasses.replace(MANIFEST, plan=plan)))
    data["plan"]["rules"][0]["batch"] = size
    with raises(BundleError, "E-BUNDLE-DAMAGED", named):
        manifest_from_json(json.dumps(data))
