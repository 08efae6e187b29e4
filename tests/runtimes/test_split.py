"""A batch run in parts side by side gives what the whole gives."""

from threading import Barrier, Lock

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.fake import FakeRunner
from rnn_deploy.runtimes.onnxruntime import SPLIT
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.runtimes.split import SplitBatchRunner
from rnn_deploy.spec import EntryPoint, StateSpec, Support, TensorSpec
from tests.support.errors import raises
from tests.support.models import randomised

RNG = np.random.default_rng(0)
X, Y = TensorSpec("x", ("batch", "time", 3), "float32"), TensorSpec("y", ("batch", 3), "float32")
STATE = StateSpec(TensorSpec("h", ("batch", 3), "float32"), "h_next", "rnn", "h")
ENTRY = EntryPoint("stream", (X,), (Y,), (STATE,), rows=Support(True, "tried"))


def numbers(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def answer(entry, feeds):
    """Rows that depend on nothing but their own inputs and states."""
    return {"y": feeds["x"].sum(1), "h_next": 2 * feeds["h"] + feeds["x"][:, -1]}


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("parts", [2, 3, 16])
def test_rows_are_joined_in_their_order_states_too(rows, parts):
    feeds = {"x": numbers(rows, 4, 3), "h": numbers(rows, 3)}
    split = SplitBatchRunner(FakeRunner(ENTRY, answer), parts)
    found, expected = split.run(feeds), answer(ENTRY, feeds)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    split.close()


def test_states_left_out_are_zero():
    split = SplitBatchRunner(FakeRunner(ENTRY, answer), 2)
    x = numbers(5, 4, 3)
    assert np.array_equal(split.run({"x": x})["h_next"], x[:, -1])


def test_parts_run_at_the_same_time():
    together = Barrier(3, timeout=30)  # breaks where one part waits for another to end

    def meeting(entry, feeds):
        together.wait()
        return answer(entry, feeds)

    split = SplitBatchRunner(FakeRunner(ENTRY, meeting), 3)
    assert split.run({"x": numbers(6, 4, 3)})["y"].shape == (6, 3)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_part_that_fails_fails_the_call_once_all_have_ended(failing):
    running, lock = set(), Lock()

    def one_fails(entry, feeds):
        part = int(feeds["x"][0, 0, 0])
        with lock:
            running.add(part)
        try:
            if part == failing:
                raise InputError("E-INPUT-PART", f"part {part} refused")
            return answer(entry, feeds)
        finally:
            with lock:
                running.discard(part)

    split = SplitBatchRunner(FakeRunner(ENTRY, one_fails), 3)
    x = np.zeros((3, 4, 3), np.float32) + np.arange(3, dtype=np.float32)[:, None, None]
    with raises(InputError, "E-INPUT-PART", f"part {failing}"):
        split.run({"x": x})
    assert not running
    assert split.run({"x": x + 3})["y"].shape == (3, 3)


@pytest.mark.parametrize(
    ("feeds", "code"),
    [
        ({"x": numbers(4, 2)}, "RANK"),
        ({"x": numbers(0, 4, 3)}, "EMPTY"),
        ({"x": [[[1.0] * 3]] * 2}, "NOT-AN-ARRAY"),
        ({"x": numbers(4, 4, 3), "h": numbers(3, 3)}, "SHAPE"),
        ({"h": numbers(4, 3)}, "MISSING"),
        ({}, "MISSING"),
    ],
)
def test_what_does_not_fit_is_refused_as_without_a_split(feeds, code):
    with raises(InputError, f"E-INPUT-{code}"):
        SplitBatchRunner(FakeRunner(ENTRY, answer), 2).run(feeds)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (EntryPoint("sequence", (TensorSpec("x", (2, 3), "float32"),), (Y,)), "'x' has a fixed ba"),
        (EntryPoint("sequence", (X,), (TensorSpec("y", (3,), "float32"),)), "'y' has no row for"),
        (EntryPoint("sequence", (X,), (Y,)), EntryPoint("sequence", (X,), (Y,)).rows.reason),
    ],
)
def test_a_batch_that_cannot_be_cut_is_refused(entry, why):
    with raises(BundleError, "E-BUNDLE-PLAN", why, "rnn-deploy tune"):
        SplitBatchRunner(FakeRunner(entry, answer), 2)


@pytest.fixture(scope="module")
def gru_bundle(tmp_path_factory):
    import keras

    from rnn_deploy import export

    x = keras.Input((None, 3), name="x")
    y, last = keras.layers.GRU(5, return_sequences=True, return_state=True, name="gru")(x)
    model = randomised(keras.Model(x, [y, last]))
    return export(model, tmp_path_factory.mktemp("split") / "b", to=("onnx",)).root


@pytest.mark.parametrize("entry", ["sequence", "stream"])
def test_onnx_runtime_gives_the_same(gru_bundle, entry):
    bundle = open_bundle(gru_bundle)
    whole = runtime_named("ort-cpu").load(bundle, RunOptions(entry, threads=1))
    split = runtime_named("ort-cpu").load(bundle, RunOptions(entry, threads=3, session=(SPLIT,)))
    for rows in (1, 5, 5, 5, 8):
        feeds = {t.name: numbers(rows, *t.shape[1:][-1:]) for t in whole.entry.all_inputs[1:]}
        feeds["x"] = numbers(rows, 6, 3)
        for name, value in whole.run(feeds).items():
            np.testing.assert_allclose(split.run(feeds)[name], value, atol=1e-6, rtol=0)


def test_what_was_closed_says_so(gru_bundle):
    split = runtime_named("ort-cpu").load(open_bundle(gru_bundle), RunOptions(session=(SPLIT,)))
    split.close()
    with raises(InputError, "E-RUNTIME-CLOSED"):
        split.run({"x": numbers(4, 6, 3)})
