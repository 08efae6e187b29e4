"""Manifests that older versions wrote, kept as they were: they must stay readable."""

import json
from pathlib import Path

import pytest

from rnn_deploy.bundle.manifest import json_from_manifest, manifest_from_json
from rnn_deploy.bundle.versions import SCHEMA_VERSION, STEPS, upgraded
from rnn_deploy.errors import BundleError
from tests.support.errors import raises

OLD = sorted((Path(__file__).parent / "data").glob("schema_*.json"))


def test_each_old_schema_version_has_a_manifest_here():
    kept = {json.loads(place.read_text())["schema_version"] for place in OLD}
    assert kept == set(STEPS) == set(range(2, SCHEMA_VERSION))


@pytest.mark.parametrize("place", OLD, ids=lambda place: place.stem)
def test_an_old_manifest_is_read_and_everything_in_it_is_kept(place):
    old = json.loads(place.read_text())
    manifest = manifest_from_json(place.read_text())
    new = json.loads(json_from_manifest(manifest))
    changed = {"schema_version", "artifacts", "micro"}
    assert {key: new[key] for key in old if key not in changed} == {
        key: old[key] for key in old if key not in changed
    }
    assert new["schema_version"] == SCHEMA_VERSION
    for before, after in zip(old["artifacts"], new["artifacts"], strict=True):
        assert {key: after[key] for key in before} == before
    assert manifest_from_json(json_from_manifest(manifest)) == manifest


def test_what_version_2_said_of_microcontrollers_is_now_said_of_each_file():
    text = (Path(__file__).parent / "data" / "schema_2_tflite_micro.json").read_text()
    details = {a.entry: a.details for a in manifest_from_json(text).artifacts}
    assert len(details) == 2
    for model in json.loads(text)["micro"]:
        assert details[model.pop("entry")] == model
    assert manifest_from_json(text).extensions == {}


@pytest.mark.parametrize("place", OLD, ids=lambda place: place.stem)
def test_an_unknown_field_of_an_old_manifest_is_refused(place):
    data = json.loads(place.read_text())
    with raises(BundleError, "E-BUNDLE-DAMAGED", "'owner'"):
        manifest_from_json(json.dumps(data | {"owner": "me"}))
    with raises(BundleError, "E-BUNDLE-DAMAGED"):
        manifest_from_json(json.dumps({key: data[key] for key in data if key != "micro"}))
    with raises(BundleError, "E-BUNDLE-DAMAGED"):
        manifest_from_json(json.dumps(data | {"artifacts": [3]}))


def test_upgrading_leaves_its_argument_alone():
    data = json.loads(OLD[0].read_text())
    before = json.dumps(data)
    upgraded(data)
    assert json.dumps(data) == before


def test_a_newer_schema_is_refused_with_both_versions(monkeypatch):
    monkeypatch.setattr("rnn_deploy.bundle.versions.installed_version", lambda name: "1.2.3")
    newer = {"schema_version": SCHEMA_VERSION + 1, "tools": {"rnn-deploy": "9.8.7"}}
    with raises(BundleError, "E-BUNDLE-NEWER", "9.8.7", "1.2.3", str(SCHEMA_VERSION + 1)):
        manifest_from_json(json.dumps(newer))
    with raises(BundleError, "E-BUNDLE-NEWER"):  # whatever else the new version changed
        manifest_from_json(json.dumps({"schema_version": SCHEMA_VERSION + 1, "tools": 3}))


@pytest.mark.parametrize("version", [1, 0, -1])
def test_a_version_from_before_the_oldest_is_refused(version):
    with raises(BundleError, "E-BUNDLE-TOO-OLD", str(version), str(min(STEPS))):
        manifest_from_json(json.dumps({"schema_version": version}))
