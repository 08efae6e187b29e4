"""Signals during every part of a command. Each test starts one process without TensorFlow."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import rnn_deploy
from rnn_deploy.cli.ending import Ended, ending_cleanly

ROOT = Path(rnn_deploy.__file__).parents[1]
HEAD = """
import ctypes, os, signal, sys, threading, time
from pathlib import Path
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli.ending import Ended, ending_cleanly
number, place = int(sys.argv[1]), Path(sys.argv[2])
class Native:
    def __del__(self):
        os.kill(os.getpid(), number)
def send():
    print("here", flush=True)
def lock(library):
    mutex = ctypes.create_string_buffer(128)
    for _ in range(2):  # the second call never returns, and no signal interrupts it
        library.pthread_mutex_lock(mutex)
try:
    with ending_cleanly(in_process=IN_PROCESS):
        with writing_file(place, force=False) as draft:
            draft.write_text("half")
            BODY
    print("finished")
except Ended as end:
    os._exit(128 + end.number)
"""
BODIES = {
    "python": "send(); time.sleep(60)",
    "native": "send(); lock(ctypes.CDLL(None))",
    "native with the lock": "send(); lock(ctypes.PyDLL(None))",
    "__del__": "send(); Native(); time.sleep(60)",
    "__del__ at the end": "send(); Native()",
    "swallowed": "send()\n            while True:\n                try: time.sleep(60)\n"
    "                except BaseException: pass",
}


def _started(body, place, number, *, in_process):
    code = HEAD.replace("IN_PROCESS", str(in_process)).replace("BODY", BODIES[body])
    words = [sys.executable, "-c", code, str(int(number)), str(place)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment)
    assert process.stdout.readline() == b"here\n"
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="signals, and a mutex that is all zeros")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("body", "in_process"),
    [
        ("python", True),
        ("native", True),
        ("native with the lock", False),
        ("__del__", True),
        ("__del__ at the end", True),
        ("swallowed", True),
        ("swallowed", False),
    ],
)
def test_a_signal_ends_it(tmp_path, body, number, in_process):
    process = _started(body, tmp_path / "y.npz", number, in_process=in_process)
    if "native" in body:
        time.sleep(0.5)  # it is about to enter native code
    start = time.monotonic()
    if "__del__" not in body:
        process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    killed = "lock" in body
    assert process.returncode == (-signal.SIGKILL if killed else 128 + number)
    assert b"finished" not in out
    assert time.monotonic() - start < 5  # 2 on a machine that does nothing else
    if body in ("python", "__del__"):
        assert list(tmp_path.iterdir()) == []
    assert not (tmp_path / "y.npz").exists() or body == "__del__ at the end"


def test_no_guard_stays(tmp_path):
    code = (
        "from rnn_deploy.cli.ending import ending_cleanly\n"
        "import subprocess\n"
        "with ending_cleanly(in_process=False):\n    pass\n"
        "print(subprocess._active)"
    )
    words = [sys.executable, "-c", code]
    ended = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, b"[]\n")


def test_handlers_are_as_before_afterwards():
    def state():
        return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook

    before = state()
    with pytest.raises(Ended), ending_cleanly(in_process=True):
        signal.raise_signal(signal.SIGTERM)
    assert state() == before
    assert signal.set_wakeup_fd(-1) == -1


def test_other_threads_change_nothing():
    def run():
        with ending_cleanly(in_process=True):
            seen.append(signal.getsignal(signal.SIGTERM))

    seen = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_other_exceptions_in_a_del_are_reported_as_usual(capsys):
    class Faulty:
        def __del__(self):
            raise KeyError("planted")

    seen = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda report: seen.append(report.exc_value)
    try:
        with ending_cleanly(in_process=True):
            Faulty()
    finally:
        sys.unraisablehook = hook
    assert [str(error) for error in seen] == ["'planted'"]
