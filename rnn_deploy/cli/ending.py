"""End a command at a signal: soon, without half-written files, even during native code.

    SIGINT, SIGTERM, SIGHUP --Python's handler--> an exception, which removes drafts on its way out
                            --wakeup pipe--> a guard, which ends the process if that takes too long

Python runs signal handlers only between two bytecodes. So the exception does not end native code
that does not return, nor a program part that swallows exceptions; the guard does. The guard is a
thread. Commands whose native code may keep Python's lock (TensorFlow, HDF5) also have a guard
process. The next command removes the drafts that a killed one left (bundle/drafts.py).
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))
GRACE, KILL = 1.2, 1.6  # seconds from the signal to the end by the thread and by the process
AGAIN = 0.05  # seconds until a swallowed signal is sent again
DONE = b"\0"  # no signal has this number
# The guard process. It runs in its own session, where it gets no Ctrl-C, and ends with its parent.
GUARD = """
import os, select, signal, sys, time
seconds, process = float(sys.argv[1]), int(sys.argv[2])
byte = os.read(0, 1)
if byte in (b"", b"\\0"):
    sys.exit()
os.write(1, byte)
end = time.monotonic() + seconds
while select.select([0], [], [], max(0, end - time.monotonic()))[0]:
    if os.read(0, 1) in (b"", b"\\0"):
        sys.exit()
if os.getppid() == process:
    os.kill(process, signal.SIGKILL)
"""


class Ended(BaseException):
    """A signal is ending the process. A BaseException, so that `except Exception` misses it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def ending_cleanly(*, in_process: bool) -> Iterator[None]:
    """While open, a signal raises `Ended` in the main thread; a guard kills a process that stays.

    in_process: use only a thread as the guard, for native code that releases Python's lock.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number, handler in before.items() if handler in usual]
    hook = sys.unraisablehook
    swallowed: list[int] = []
    for number in ours:
        signal.signal(number, _end)
    sys.unraisablehook = lambda report: _raise_again(report, swallowed, hook)
    try:
        with _guarded(in_process=in_process):
            yield
            if swallowed:
                raise Ended(swallowed[0])
    finally:
        sys.unraisablehook = hook
        for number in ours:
            signal.signal(number, before[number])


@contextmanager
def signals_wait() -> Iterator[None]:
    """While open, defer a signal of `ending_cleanly`; raise its `Ended` when the block ends."""
    _waiting.append(0)
    try:
        yield
    finally:
        number = _waiting.pop()
        if number:
            _end(number, None)


_waiting: list[int] = []  # for each open block: the number of its deferred signal, or 0


def _end(number: int, frame: object) -> None:
    if not _waiting:
        raise Ended(number)
    _waiting[-1] = number


def _raise_again(report: Any, swallowed: list[int], hook: Callable[[Any], object]) -> None:
    """Send a signal again if a `__del__` or a callback swallowed its exception."""
    if isinstance(report.exc_value, Ended):
        swallowed.append(report.exc_value.number)
        # Send it later: an exception in this hook would be swallowed too.
        timer = threading.Timer(AGAIN, os.kill, [os.getpid(), report.exc_value.number])
        timer.daemon = True
        timer.start()
    else:
        hook(report)


@contextmanager
def _guarded(*, in_process: bool) -> Iterator[None]:
    if os.name == "nt":  # a wakeup descriptor must be a socket there
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    done = threading.Event()
    guard = None if in_process else _guard_process(read)
    signals = read if guard is None or guard.stdout is None else guard.stdout.fileno()
    thread = threading.Thread(target=_watch, args=(signals, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        signal.set_wakeup_fd(before)
        with suppress(OSError):  # the guard has ended already
            os.write(write, DONE)
        thread.join()
        if guard is not None:
            guard.communicate()
        for descriptor in (read, write):
            os.close(descriptor)


def _watch(signals: int, done: threading.Event) -> None:
    """End this process GRACE seconds after a signal, unless `done` is set by then."""
    byte = os.read(signals, 1)
    if byte not in (b"", DONE) and not done.wait(GRACE):
        os._exit(128 + byte[0])


def _guard_process(read: int) -> "subprocess.Popen[bytes] | None":
    words = [sys.executable, "-I", "-S", "-c", GUARD, str(KILL), str(os.getpid())]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    try:
        return subprocess.Popen(
            words, stdin=read, stdout=pipe, stderr=nothing, start_new_session=True
        )
    except OSError:  # the limit on processes is reached; the command may still work
        return None
