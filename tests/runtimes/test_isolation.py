"""A runtime that aborts, hangs or raises, in a process of its own."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError, RuntimeAbortedError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.isolation import MOST_IN_A_ROW, IsolatedRuntime, isolated, staying
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.runtimes.worker import RuntimeServer
from rnn_deploy.workers.process import CRASHED
from tests.support.errors import raises

HEAVY = {"tensorflow", "keras", "onnx", "tf2onnx"}


def zeros(entry, feeds):
    """Zeros for every output; other things on the lengths that the tests ask for."""
    batch, steps = feeds["x"].shape[:2]
    what = {2: os.abort, 3: lambda: time.sleep(60), 4: segfault, 5: lambda: 1 / 0, 10: real_time}
    what.get(steps, lambda: None)()
    if steps == 6:
        raise InputError("E-INPUT-SIX", "six are too many")
    if steps == 7:
        print("terminate called: seven", file=sys.stderr, flush=True)
        os._exit(9)
    if steps == 8:
        raise InputError("E-INPUT-MODULES", " ".join(HEAVY & set(sys.modules)) or "none of them")
    if steps == 9:
        raise InputError("E-INPUT-PID", str(os.getpid()))
    shapes = {"y": (batch, steps, 2), "first_h_out": (batch, 5), "second_h_out": (batch, 4)}
    return {t.name: np.zeros(shapes[t.name], np.float32) for t in entry.all_outputs}


def segfault():
    os.kill(os.getpid(), signal.SIGSEGV)


def real_time():
    os.kill(os.getpid(), 35)
    time.sleep(60)


class DiesOnLoading(FakeRuntime):
    """Ends its process when it is to load."""

    def load(self, bundle, options):
        os.abort()


class DiesOnLoadingOnce(FakeRuntime):
    """Is ended by a signal when it is to load, the first time."""

    def load(self, bundle, options):
        mark = bundle.root / "died"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 35)
            time.sleep(60)
        return super().load(bundle, options)


def feeds(steps):
    return {"x": np.ones((1, steps, 3), np.float32)}


@pytest.fixture
def runner(small_bundle):
    runtime = IsolatedRuntime(FakeRuntime(zeros), time_limit=60)
    runner = runtime.load(open_bundle(small_bundle), RunOptions())
    yield runner
    runner.close()


@pytest.mark.parametrize(
    ("steps", "code", "names"),
    [
        (2, "E-RUNTIME-CRASHED", ["'fake'", "SIGABRT", "running"]),
        (4, "E-RUNTIME-CRASHED", ["'fake'", "SIGSEGV", "running"]),
        (5, "E-RUNTIME-FAILED", ["ZeroDivisionError: division by zero"]),
        (7, "E-RUNTIME-CRASHED", ["'fake'", "exit code 9", "running", "terminate called: seven"]),
        (10, "E-RUNTIME-CRASHED", ["'fake'", "signal 35", "running"]),
    ],
)
def test_what_ends_the_worker_is_named_and_the_next_call_works(runner, steps, code, names):
    with raises(RuntimeAbortedError, code, *names):
        runner.run(feeds(steps))
    assert runner.run(feeds(1))["y"].shape == (1, 1, 2)


def test_a_hang_is_ended_at_the_limit(small_bundle):
    runtime = IsolatedRuntime(FakeRuntime(zeros), time_limit=60)
    runner = runtime.load(open_bundle(small_bundle), RunOptions())
    runtime._worker._process._time_limit = 0.5  # once it is loaded, which may take long
    with raises(RuntimeAbortedError, "E-RUNTIME-HUNG", "0.5 s", "running"):
        runner.run(feeds(3))
    assert set(runner.run(feeds(1))) == {"y"}
    runner.close()


def test_our_own_refusals_come_back_as_they_are(runner):
    with raises(InputError, "E-INPUT-SIX", "six are too many"):
        runner.run(feeds(6))


def test_after_some_deaths_no_more_are_tried(runner, monkeypatch):
    monkeypatch.setitem(MOST_IN_A_ROW, CRASHED, 2)
    for _ in range(2):
        with raises(RuntimeAbortedError, "E-RUNTIME-CRASHED", "SIGABRT"):
            runner.run(feeds(2))
    with raises(RuntimeAbortedError, "E-RUNTIME-GIVEN-UP", "2 calls", "'fake'", "SIGABRT"):
        runner.run(feeds(1))


def test_deaths_between_calls_that_work_do_not_end_it(runner, monkeypatch):
    monkeypatch.setitem(MOST_IN_A_ROW, CRASHED, 2)
    for _ in range(3):
        with raises(RuntimeAbortedError, "E-RUNTIME-CRASHED", "SIGABRT"):
            runner.run(feeds(2))
        assert set(runner.run(feeds(1))) == {"y"}


def test_an_abort_on_loading_is_said_when_it_is_to_run(small_bundle):
    runtime = IsolatedRuntime(DiesOnLoading(zeros), time_limit=60)
    runner = runtime.load(open_bundle(small_bundle), RunOptions())
    with raises(RuntimeAbortedError, "E-RUNTIME-CRASHED", "SIGABRT", "loading"):
        runner.run(feeds(1))
    runner.close()


def test_an_abort_on_loading_is_reported_even_if_the_next_process_loads(small_bundle):
    runtime = IsolatedRuntime(DiesOnLoadingOnce(zeros), time_limit=60)
    runner = runtime.load(open_bundle(small_bundle), RunOptions())
    with raises(RuntimeAbortedError, "E-RUNTIME-CRASHED", "signal 35", "loading"):
        runner.run(feeds(1))
    assert runner.run(feeds(1))["y"].shape == (1, 1, 2)
    runner.close()


def test_a_worker_imports_nothing_of_the_keras_side(runner):
    with raises(InputError, "E-INPUT-MODULES", "none of them"):
        runner.run(feeds(8))


def test_entry_points_share_a_worker_that_ends_with_the_last(small_bundle):
    bundle = open_bundle(small_bundle)
    runtime = IsolatedRuntime(FakeRuntime(zeros), time_limit=60)
    runners = [runtime.load(bundle, RunOptions(entry=name)) for name in ("sequence", "stream")]
    pids = set()
    for runner in runners:
        with raises(InputError, "E-INPUT-PID") as caught:
            runner.run(feeds(9))
        pids.add(int(caught.value.message))
    (pid,) = pids
    assert pid != os.getpid()
    runners[0].close()
    os.kill(pid, 0)
    runners[1].close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_is_to_stay_serves_bundle_after_bundle(small_bundle):
    pids = []
    with staying([runtime_named("ort-cpu")]) as (runtime,):
        for _ in range(2):
            runner = runtime.load(open_bundle(small_bundle), RunOptions())
            runner.run({"x": np.ones((1, 2, 3), np.float32)})
            pids.append(runtime._worker._process._process.pid)
            runner.close()
            os.kill(pids[0], 0)
    assert pids[0] == pids[1]
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.parametrize("name", ["ort-cpu", "litert"])
def test_a_real_runtime_gives_the_same_in_a_worker(name, small_bundle, x):
    bundle = open_bundle(small_bundle)
    (apart,) = isolated([runtime_named(name)])
    ours, theirs = (r.load(bundle, RunOptions()) for r in (runtime_named(name), apart))
    np.testing.assert_array_equal(ours.run({"x": x})["y"], theirs.run({"x": x})["y"])
    with pytest.raises(InputError, match="float32"):
        theirs.run({"x": x.astype(np.float64)})
    theirs.close()


def test_placements_come_from_the_worker(small_bundle):
    bundle = open_bundle(small_bundle)
    ort, litert = isolated([runtime_named("ort-cpu"), runtime_named("litert")])
    nodes = ort.placements(bundle, RunOptions(entry="stream"))
    assert [n.provider for n in nodes if n.op_type == "RNN"] == ["CPUExecutionProvider"] * 2
    assert litert.placements(bundle, RunOptions()) is None


def test_fakes_stay_in_this_process_and_limits_are_positive():
    fake = FakeRuntime(zeros)
    assert isolated([fake]) == [fake]
    with raises(InputError, "E-RUNTIME-NOT-ISOLABLE", "'fake'", "--no-isolate"):
        IsolatedRuntime(FakeRuntime(lambda entry, feeds: {}))
    with raises(InputError, "E-OPTION-TIME-LIMIT", "0"):
        isolated([fake], time_limit=0)


def test_the_worker_s_verbs_in_this_process(small_bundle, x):
    served = RuntimeServer(runtime_named("ort-cpu"))
    served.load(0, open_bundle(small_bundle), RunOptions())
    assert set(served.run(0, {"x": x})) == {"y"}
    assert served.placements(open_bundle(small_bundle), RunOptions())
    served.close(0)
    with pytest.raises(KeyError):
        served.run(0, {"x": x})
