"""A process that answers, refuses, fails, hangs, dies or talks out of turn."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from rnn_deploy.errors import InputError, RuntimeAbortedError
from rnn_deploy.workers.process import DIED, HUNG, ProcessEndedError, WorkerProcess


class Served:
    """What the tests have served: each verb is one way to answer, or not to."""

    def __init__(self, factor):
        self.factor = factor

    def times(self, array):
        return array * self.factor

    def refuses(self):
        raise InputError("six are too many")

    def fails(self):
        return 1 / 0

    def talks(self):
        os.write(1, b"written by native code")
        print("printed")
        return sys.stdin.read()

    def signals(self, name):
        os.kill(os.getpid(), signal.Signals[name])

    def leaves(self):
        print("terminate called: seven", file=sys.stderr, flush=True)
        os._exit(9)

    def sleeps(self):
        time.sleep(60)

    def own_packages(self):
        return sorted(name for name in sys.modules if name.startswith("rnn_deploy."))


class DoesNotBegin:
    """Cannot be made."""

    def __init__(self):
        raise SystemError("it broke")


@pytest.fixture
def process():
    with WorkerProcess(Served, 3, limit=10) as process:
        yield process


def test_answers_are_the_served_object_s_and_go_on_after_an_error(process):
    array = np.random.default_rng(0).standard_normal((300, 1000))
    np.testing.assert_array_equal(process.ask("times", array), array * 3)
    with pytest.raises(InputError, match=r"^six are too many$"):
        process.ask("refuses")
    with pytest.raises(RuntimeAbortedError, match=r"^ZeroDivisionError: division by zero$"):
        process.ask("fails")
    assert process.ask("times", 2) == 6


def test_what_is_written_to_standard_output_is_no_answer_and_the_input_is_empty(process):
    assert process.ask("talks") == ""
    assert process.ask("times", 2) == 6


@pytest.mark.parametrize(
    ("verb", "given", "message"),
    [
        ("signals", ["SIGABRT"], "^ended with SIGABRT$"),
        ("signals", ["SIGSEGV"], "^ended with SIGSEGV$"),
        ("leaves", [], "^left with exit code 9: terminate called: seven$"),
    ],
)
def test_a_death_is_named(process, verb, given, message):
    with pytest.raises(ProcessEndedError, match=message) as told:
        process.ask(verb, *given)
    assert told.value.kind == DIED
    with pytest.raises(ProcessEndedError, match=message):  # it stays dead, and says so again
        process.ask("times", 2)


def test_a_hang_is_ended():
    with WorkerProcess(Served, 3, limit=2) as process:
        process.ask("times", 1)
        start = time.monotonic()
        with pytest.raises(ProcessEndedError, match=r"^gave no answer within 2 s") as told:
            process.ask("sleeps")
        assert told.value.kind == HUNG
        assert time.monotonic() - start < 30


def test_what_cannot_be_made_is_a_death():
    with (
        WorkerProcess(DoesNotBegin, limit=10) as process,
        pytest.raises(ProcessEndedError, match=r"^left with exit code 1: SystemError: it broke$"),
    ):
        process.ask("times", 1)


def test_it_imports_what_is_served_and_nothing_else(process):
    assert set(process.ask("own_packages")) <= {
        "rnn_deploy.errors",
        "rnn_deploy.workers",
        "rnn_deploy.workers.process",  # these tests' own
        "rnn_deploy.workers.serving",
    }
