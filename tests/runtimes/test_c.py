"""The runtime `c`: whole sequences, streams, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy import load, verify
from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.runtimes import c, compiler
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.c import CRuntime
from rnn_deploy.runtimes.feeds import zero_states
from tests.support.c_bundle import c_bundle, masked_model, whole_model
from tests.support.c_compilers import needed
from tests.support.errors import raises

pytestmark = needed("cc")


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return open_bundle(c_bundle(masked_model(), tmp_path_factory.mktemp("c") / "masked"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return open_bundle(c_bundle(whole_model(), tmp_path_factory.mktemp("c") / "whole"))


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)


def test_both_bundles_are_verified(masked, whole):
    for bundle in (masked, whole):
        report = verify(bundle, runtimes=("c",))
        assert report.passed, report.verdict


def test_a_stream_gives_what_the_whole_gives_bound_or_not(masked, x):
    model = load(masked, "c")
    whole_output, stream = model.predict(x), model.stream(2)
    steps = [stream.step(x[:, t : t + 1]) for t in range(6)]
    np.testing.assert_array_equal(np.concatenate(steps, axis=1), whole_output)
    runner = model.runner("stream")
    plain = runner.run({"x": x} | zero_states(runner.entry, 2))
    for name, value in stream.finals().items():
        np.testing.assert_array_equal(value, plain[name])


def test_a_refused_step_leaves_the_state(whole):
    runner = CRuntime().load(whole, RunOptions("stream"))
    entry = runner.entry
    shapes = {"ids": (2, 3), "class": (2, 3)} | {
        n: v.shape for n, v in zero_states(entry, 2).items()
    }
    bound = runner.bound(shapes)
    bound.step([np.array([[1, 2, 3], [4, 5, 6]], np.int32)])
    before = bound.states
    with raises(InputError, "E-INPUT-VOCABULARY", "ids"):
        bound.step([np.array([[1, 2, 3], [4, 7, 6]], np.int32)])
    for name, value in bound.states.items():
        np.testing.assert_array_equal(value, before[name])
    assert any(np.any(value) for value in before.values())


def test_arrays_that_are_not_contiguous_are_taken(masked, x):
    model = load(masked, "c")
    turned = np.asfortranarray(x)
    np.testing.assert_array_equal(model.predict(turned), model.predict(x))


def test_more_threads_are_refused(masked):
    with raises(InputError, "E-OPTION-THREADS", "4"):
        CRuntime().load(masked, RunOptions(threads=4))


def test_without_a_compiler_it_is_unavailable_and_says_why(masked, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    compiler.compiler.cache_clear()
    try:
        assert "no-such-compiler" in CRuntime().why_unavailable()
        assert CRuntime().version() is None
        with raises(RuntimeUnavailableError, "E-RUNTIME-UNAVAILABLE", "no-such-compiler"):
            CRuntime().load(masked, RunOptions())
    finally:
        monkeypatch.undo()
        compiler.compiler.cache_clear()


def test_a_library_with_another_interface_is_refused(masked, monkeypatch):
    monkeypatch.setattr(c, "ABI", 99)
    with raises(RuntimeUnavailableError, "E-RUNTIME-LOAD", "99"):
        CRuntime().load(masked, RunOptions())


def test_the_file_is_reported(masked):
    assert CRuntime().file_of(masked, RunOptions(), {}) == "c/model.c"
    other = replace(masked, manifest=replace(masked.manifest, artifacts=()))
    with raises(InputError, "E-BUNDLE-NO-ARTIFACT", "--to c"):
        CRuntime().file_of(other, RunOptions(), {})
