"""A script of ours run as a process of its own, so that a crash of native code is an error line.

Such a script imports nothing of this package, whose Keras side would bring TensorFlow with it.
"""

import signal
import subprocess
import sys
from pathlib import Path

from rnn_deploy.errors import UnsupportedModelError

SECONDS = 300.0


def run_isolated(script: Path, *words: str, what: str, seconds: float = SECONDS) -> str:
    """Run the Python file `script` with `words`; what it wrote to its standard error.

    UnsupportedModelError, beginning with `what`, names the signal it ended by, the error it met,
    or the time limit it ran into; the cause of an error holds all that it wrote.
    """
    # -P: its folder is not searched for modules, where ours are called like packages.
    command = [sys.executable, "-P", str(script), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnsupportedModelError(
            "E-EXPORT-PROCESS", f"{what} took more than {seconds:g} s"
        ) from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise UnsupportedModelError("E-EXPORT-PROCESS", f"{what} crashed ({name})")
    if done.returncode:
        raise UnsupportedModelError(
            "E-EXPORT-PROCESS", f"{what} failed ({_last_line(done.stderr)})"
        ) from RuntimeError(done.stderr)
    return done.stderr


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "without a message"
