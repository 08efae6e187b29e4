"""The loop inside a worker process: it reads the object to serve, then one request after another.

    standard input --(class, arguments)--> served object
    standard input --(method, *arguments)--> served.method(*arguments) --(kind, value)--> output

The kind of an answer is "done" with the result, "refused" with one of our own errors, or "failed"
with the message of any other exception. Native code may write to standard output, so answers go to
a copy of its descriptor, and everything that is written to standard output goes to standard error.
Imports only what the served object imports.
"""

import ctypes
import importlib
import os
import pickle
import signal
import sys
import threading
import time
from typing import Any

from rnn_deploy.errors import RnnDeployError, one_line

PR_SET_PDEATHSIG = 1


class FunctionServer:
    """Calls functions by name, so that only the worker process imports their modules."""

    def call(self, target: str, *arguments: Any) -> Any:
        """Return the result of "package.module:function"."""
        _die_with_caller()
        module, _, name = target.partition(":")
        return getattr(importlib.import_module(module), name)(*arguments)


def main() -> None:
    """Answer until the input ends."""
    _end_with_parent()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    server, arguments = pickle.load(requests)
    served = server(*arguments)
    while True:
        try:
            method, *arguments = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(_answer(served, method, arguments), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


def _end_with_parent() -> None:
    """End this process when its parent ends, even if the main thread is busy."""
    if os.name == "nt":  # the parent's number does not change on Windows
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _die_with_caller() -> None:
    """On Linux, end with the calling thread, even during native code that keeps Python's lock.

    Use it only if that thread waits for the answer: man 2 prctl, PR_SET_PDEATHSIG.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(served: object, method: str, arguments: list[Any]) -> tuple[str, Any]:
    try:
        return "done", getattr(served, method)(*arguments)
    except RnnDeployError as error:
        return "refused", error
    except Exception as error:  # the parent reports any exception
        return "failed", f"{type(error).__name__}: {one_line(error)}"
