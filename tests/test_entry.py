import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import rnn_deploy

ROOT = Path(rnn_deploy.__file__).parents[1]
# Sends a signal while the module of that name is imported.
DURING = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
sys.argv = ["rnn-deploy", "run", "nowhere", "--inputs", "x.npz"]
from rnn_deploy.entry import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="no signals from outside")
@pytest.mark.parametrize("module", ["click", "rnn_deploy.cli", "rnn_deploy.cli.run"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_start_up_ends_it_without_a_traceback(module, number):
    code = DURING.format(module=module, number=int(number))
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode in (-number, 128 + number)
    assert ended.stderr in ("", "stopped\n")
