"""A state file belongs to the weights and the entry point that wrote it."""

import json
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest

from rnn_deploy.bundle.manifest import Manifest, ModelSource
from rnn_deploy.bundle.npz import read_npz, write_npz
from rnn_deploy.bundle.state_files import (
    OWNER,
    StateOwner,
    owner_of,
    read_states,
    refuse_other_names,
    write_states,
)
from rnn_deploy.bundle.store import Bundle
from rnn_deploy.errors import InputError
from tests.support.errors import raises

HERE = StateOwner("a" * 64, "stream", "b" * 64)
STATES = {
    "rnn_h_in": np.random.default_rng(0).standard_normal((2, 3)).astype("f"),
    "file": np.arange(4.0).reshape(2, 2),
}


def _assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], strict=True)


@pytest.fixture
def place(tmp_path):
    write_states(tmp_path / "s.npz", STATES, HERE)
    return tmp_path / "s.npz"


def test_states_come_back_as_they_were_written(place):
    _assert_same(read_states(place, HERE), STATES)


def test_the_owner_is_the_weights_and_the_bundle_is_named(tmp_path):
    manifest = Manifest(ModelSource("k", "n", "d" * 64), (), (), "g.npz", (), {})
    bundle = Bundle(tmp_path, manifest, "e" * 64)
    assert owner_of(bundle, "decode") == StateOwner("d" * 64, "decode", "e" * 64)


def test_the_file_says_what_it_belongs_to(place):
    facts = json.loads(str(read_npz(place)[OWNER]))
    assert facts == {
        "weights": HERE.weights,
        "entry": HERE.entry,
        "bundle": HERE.bundle,
        "rnn_deploy": version("rnn-deploy"),
    }


def test_another_export_of_the_same_weights_may_go_on(place):
    _assert_same(read_states(place, replace(HERE, bundle="c" * 64)), STATES)


@pytest.mark.parametrize(
    ("here", "code", "names"),
    [
        (replace(HERE, weights="c" * 64), "E-STATE-OTHER-BUNDLE", ["aaaa", "cccc", "bbbb"]),
        (replace(HERE, entry="decode"), "E-STATE-OTHER-ENTRY", ["'stream'", "'decode'"]),
        (None, "E-STATE-NO-OWNER", []),
    ],
)
def test_another_owner_is_refused_unless_it_is_overridden(place, here, code, names):
    with raises(InputError, code, "s.npz", "--state-any-bundle", "any_bundle=True", *names):
        read_states(place, here)
    _assert_same(read_states(place, here, any_bundle=True), STATES)


def test_a_file_without_an_owner_is_refused_unless_it_is_overridden(tmp_path):
    np.savez(tmp_path / "plain.npz", h_in=np.ones((1, 2)))  # as versions before 0.2 wrote it
    write_states(tmp_path / "none.npz", {"h_in": np.ones((1, 2))}, None)
    for name in ("plain.npz", "none.npz"):
        with raises(InputError, "E-STATE-NO-OWNER", name, "--state-any-bundle"):
            read_states(tmp_path / name, HERE)
        _assert_same(read_states(tmp_path / name, HERE, any_bundle=True), {"h_in": np.ones((1, 2))})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        "[" * 100_000,
        json.dumps({"weights": "a", "entry": "stream"}),
        json.dumps({"weights": 3, "entry": "stream", "bundle": "b"}),
    ],
)
@pytest.mark.parametrize("any_bundle", [False, True])
def test_a_damaged_owner_is_refused(tmp_path, text, any_bundle):
    write_npz(tmp_path / "s.npz", STATES | {OWNER: np.array(text)})
    with raises(InputError, "E-STATE-UNREADABLE", "s.npz"):
        read_states(tmp_path / "s.npz", HERE, any_bundle=any_bundle)


def test_facts_that_a_later_version_adds_are_ignored(tmp_path):
    facts = {"weights": HERE.weights, "entry": HERE.entry, "bundle": "c", "steps": 7}
    write_npz(tmp_path / "s.npz", STATES | {OWNER: np.array(json.dumps(facts))})
    _assert_same(read_states(tmp_path / "s.npz", HERE), STATES)


@pytest.mark.parametrize("content", [None, b"", b"state", b"PK\x03\x04"])
def test_what_is_no_state_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "s.npz").write_bytes(content)
    with raises(InputError, "E-STATE-UNREADABLE", "s.npz"):
        read_states(tmp_path / "s.npz", HERE, any_bundle=True)


def test_other_names_are_refused():
    refuse_other_names(STATES, ["file", "rnn_h_in"], "the state")
    with raises(InputError, "E-STATE-NAMES", "the state", "rnn_h_in", "other_h_in"):
        refuse_other_names({"rnn_h_in": 0}, ["other_h_in"], "the state")
    with raises(InputError, "E-STATE-NAMES", "rnn_h_in"):
        refuse_other_names({}, ["rnn_h_in"], "the state")
