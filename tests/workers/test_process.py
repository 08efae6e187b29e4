"""A process that answers, refuses, fails, hangs, crashes or writes where it should not."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from rnn_deploy.errors import InputError, RuntimeAbortedError
from rnn_deploy.workers.process import (
    CRASHED,
    FAILED,
    HUNG,
    WorkerProcess,
    call_in_process,
    how_it_ended,
)
from tests.support import worker_calls
from tests.support.errors import raises

KERAS_SIDE = {"tensorflow", "keras", "onnx", "tf2onnx"}
CALLS = worker_calls.__name__


class Server:
    """Each method is one way to answer, or not to."""

    def __init__(self, factor):
        self.factor = factor

    def times(self, array):
        return array * self.factor

    def refuses(self):
        raise InputError("E-INPUT-SIX", "six are too many")

    def fails(self):
        return 1 / 0

    def writes(self):
        os.write(1, b"written by native code")
        print("printed")
        return sys.stdin.read()

    def ends_with_signal(self, number):
        os.kill(os.getpid(), number)
        time.sleep(60)  # a signal may arrive a little later

    def leaves(self):
        print("terminate called: seven", file=sys.stderr, flush=True)
        os._exit(9)

    def sleeps(self):
        time.sleep(60)

    def own_modules(self):
        return sorted(name for name in sys.modules if name.startswith("rnn_deploy."))


class CannotBeMade:
    def __init__(self):
        raise SystemError("it broke")


@pytest.fixture
def process():
    with WorkerProcess(Server, 3, time_limit=10) as process:
        yield process


def test_errors_come_back_and_the_process_goes_on(process):
    array = np.random.default_rng(0).standard_normal((300, 1000))
    np.testing.assert_array_equal(process.ask("times", array), array * 3)
    with raises(InputError, "E-INPUT-SIX", "six are too many"):
        process.ask("refuses")
    with raises(RuntimeAbortedError, "E-RUNTIME-FAILED", "ZeroDivisionError") as caught:
        process.ask("fails")
    assert caught.value.kind == FAILED
    assert process.ask("times", 2) == 6


def test_output_is_not_taken_for_an_answer_and_the_input_is_empty(process):
    assert process.ask("writes") == ""
    assert process.ask("times", 2) == 6


@pytest.mark.parametrize(
    ("method", "arguments", "names"),
    [
        ("ends_with_signal", [signal.SIGABRT], ["SIGABRT"]),
        ("ends_with_signal", [signal.SIGSEGV], ["SIGSEGV"]),
        ("ends_with_signal", [35], ["signal 35"]),  # real-time: `signal.Signals` has no name for it
        ("leaves", [], ["exit code 9", "terminate called: seven"]),
    ],
)
def test_a_crash_is_named(process, method, arguments, names):
    for _ in range(2):  # it stays dead, and the next call reports it again
        with raises(RuntimeAbortedError, "E-RUNTIME-CRASHED", *names) as caught:
            process.ask(method, *arguments)
        assert caught.value.kind == CRASHED


def test_exit_codes_are_described_on_every_system():
    assert how_it_ended(-signal.SIGKILL) == "ended with SIGKILL"
    assert [how_it_ended(-number) for number in (35, 99)] == [
        "ended with signal 35",
        "ended with signal 99",
    ]
    assert how_it_ended(0xC0000005) == "left with exit code 0xc0000005"  # Windows' access violation


def test_a_hang_is_ended():
    with WorkerProcess(Server, 3, time_limit=2) as process:
        process.ask("times", 1)
        with raises(RuntimeAbortedError, "E-RUNTIME-HUNG", "2 s") as caught:
            process.ask("sleeps")
        assert caught.value.kind == HUNG
        assert process._process.poll() is not None


def test_a_server_that_cannot_be_made_is_a_crash():
    with (
        WorkerProcess(CannotBeMade, time_limit=10) as process,
        raises(RuntimeAbortedError, "E-RUNTIME-CRASHED", "exit code 1", "SystemError: it broke"),
    ):
        process.ask("times", 1)


def test_it_imports_the_server_s_module_and_nothing_else(process):
    assert set(process.ask("own_modules")) <= {
        "rnn_deploy.errors",
        "rnn_deploy.workers",
        "rnn_deploy.workers.process",  # this file's own import
        "rnn_deploy.workers.serving",
    }


def test_one_call_in_a_process_of_its_own():
    assert call_in_process(f"{CALLS}:first_argument", b"x", time_limit=10) == b"x"
    with raises(RuntimeAbortedError, "E-RUNTIME-CRASHED", "SIGSEGV"):
        call_in_process(f"{CALLS}:kills_itself", time_limit=10)
    with raises(RuntimeAbortedError, "E-RUNTIME-FAILED", "no such operator"):
        call_in_process(f"{CALLS}:raises_value_error", time_limit=10)
    with raises(RuntimeAbortedError, "E-RUNTIME-FAILED", "no_such_module"):
        call_in_process("no_such_module:f", time_limit=10)
    with raises(RuntimeAbortedError, "E-RUNTIME-HUNG", "1 s"):
        call_in_process(f"{CALLS}:sleeps", time_limit=1)


@pytest.mark.parametrize("module", ["tflite.quantise.worker", "tflite.micro.worker"])
def test_the_tools_processes_start_without_the_keras_side(module):
    target = f"{CALLS}:packages_after_importing"
    loaded = set(call_in_process(target, f"rnn_deploy.{module}", time_limit=60))
    own = {name for name in loaded if name.startswith("rnn_deploy.")}
    packages = {"rnn_deploy.tflite", f"rnn_deploy.{module}".removesuffix(".worker")}
    allowed = {"rnn_deploy.errors", "rnn_deploy.workers", "rnn_deploy.workers.serving"}
    assert own <= {*allowed, *packages, f"rnn_deploy.{module}"}
    assert not loaded & KERAS_SIDE
    planted = set(call_in_process(target, "onnx", time_limit=60))
    assert planted & KERAS_SIDE
