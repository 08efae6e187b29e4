"""Functions for worker processes: each is one way to answer, or not to."""

import importlib
import os
import signal
import sys
import time


def kills_itself(*_):
    """End the process by SIGSEGV, as a crash of native code does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def raises_value_error(*_):
    """Fail as a tool of others does."""
    raise ValueError("no such operator")


def first_argument(value, *_):
    """Return what came first."""
    return value


def sleeps(*_):
    """Give no answer in time."""
    time.sleep(60)


def packages_after_importing(module):
    """Return the top-level packages and this package's modules loaded with `module`."""
    importlib.import_module(module)
    own = {name for name in sys.modules if name.startswith("rnn_deploy")}
    return sorted(own | {name.partition(".")[0] for name in sys.modules})
