import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.bundle.manifest import (
    SCHEMA_VERSION,
    Artifact,
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
artifacts = st.builds(
    Artifact, names, names, names, st.lists(choices, max_size=2).map(tuple), st.none() | names
)
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


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, "1", 1.0, True, None])
def test_another_schema_version_is_refused_with_both_versions(version):
    text = _changed(["schema_version"], version)
    message = rf"schema version {version!r}, this rnn-deploy reads {SCHEMA_VERSION}; export"
    with pytest.raises(BundleError, match=message):
        manifest_from_json(text)


INPUT = ["entries", 0, "inputs", 0]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ([*INPUT, "name"], ["ids"], r"entries\[0\]\.inputs\[0\]\.name is \"\['ids'\]\", .* no str"),
        ([*INPUT, "shape"], "abc", r"inputs\[0\]\.shape is 'abc', which is no tuple"),
        ([*INPUT, "shape"], None, "shape is 'None'"),
        ([*INPUT, "shape"], ["batch", 3.0], r"shape\[1\] is '3.0'"),
        ([*INPUT, "shape"], ["batch", None], r"shape\[1\] is 'None'"),
        ([*INPUT, "shape"], ["batch", True], r"shape\[1\] is 'True'"),
        ([*INPUT, "shape"], ["batch", -3], r"'ids' has the shape \('batch', -3\)"),
        ([*INPUT, "below"], "7", "below is '7', which is no int"),
        ([*INPUT, "dtype"], "float99", "float99"),
        ([*INPUT, "dtype"], "object", "'ids' has the dtype 'object'"),
        ([*INPUT, "dtype"], ">f4", "'ids' has the dtype '>f4'"),
        ([*INPUT, "dtype"], None, "dtype is 'None', which is no str"),
        (["files", 0, "path"], 5, r"files\[0\]\.path is '5', which is no str"),
        (["files", 0, "size"], "12", "size is '12', which is no int"),
        (["files", 0, "sha256"], None, "sha256 is 'None', which is no str"),
        (["source", "owner"], "me", "source has an unknown 'owner'"),
        (["source", "digest"], None, "source.digest is 'None'"),
        (["owner"], "me", "the manifest has an unknown 'owner'"),
        (["entries"], None, "entries is 'None'"),
        (["entries", 0], "abc", r"entries\[0\] is 'abc', which is no EntryPoint"),
        (["entries", 0, "outputs"], [], "'sequence' lacks inputs or outputs"),
        (["artifacts", 0, "choices", 0, "lowering"], {}, "lowering is"),
        (["tools"], 5, "tools is '5'"),
        (["tools", "keras"], 3, "tools.keras is '3'"),
        (["plan"], {}, "plan has no 'cores'"),
        (["entries", 0, "chunked"], {"ok": True, "why": "no"}, "no 'reason'"),
    ],
)
def test_a_damaged_value_is_named(path, value, message):
    with pytest.raises(BundleError, match=rf"manifest\.json is damaged .*{message}"):
        manifest_from_json(_changed(path, value))


@pytest.mark.parametrize("key", [f.name for f in dataclasses.fields(Manifest)])
def test_a_missing_key_is_named(key):
    data = json.loads(json_from_manifest(MANIFEST))
    del data[key]
    with pytest.raises(BundleError, match=rf"damaged .* '{key}'\); export .* again"):
        manifest_from_json(json.dumps(data))


@pytest.mark.parametrize(
    "text", ["", "hello", "{", "null", "[1]", "3", '"manifest"', "[" * 100_000, "{}"]
)
def test_what_is_no_manifest_is_called_damaged(text):
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        manifest_from_json(text)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_cut_manifest_never_opens(data):
    text = json_from_manifest(MANIFEST).rstrip()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        manifest_from_json(cut)


def test_an_entry_point_that_is_not_there_is_refused_with_those_that_are_and_why():
    with pytest.raises(BundleError, match=r"no entry point 'stream', only sequence \(it has no st"):
        MANIFEST.entry("stream")


@pytest.mark.parametrize(
    ("format", "entry", "found"),
    [("onnx", "sequence", True), ("onnx", "stream", False), ("tflite", "sequence", False)],
)
def test_an_artifact_is_found_by_format_and_entry(format, entry, found):
    assert (MANIFEST.artifact(format, entry) is not None) == found


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "a rule is of 0 x 5"), (-1, "of -1 x 5"), ("1", "no int"), (1.5, "no int"), (True, "no")],
)
def test_a_plan_s_rule_of_no_shape_is_refused(size, said):
    rule = PlanRule("sequence", 1, 5, "ort-cpu", "sequence.onnx", 1.0, 1.0)
    plan = TunedPlan("a machine", 4, {}, (rule,))
    data = json.loads(json_from_manifest(dataclasses.replace(MANIFEST, plan=plan)))
    data["plan"]["rules"][0]["batch"] = size
    with pytest.raises(BundleError, match=said):
        manifest_from_json(json.dumps(data))
