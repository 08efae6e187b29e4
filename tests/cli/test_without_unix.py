"""Every verb on a Python without what Windows lacks: signals, `resource`, fork, process groups."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.cli import VERBS

ROOT = Path(rnn_deploy.__file__).parents[1]
# Python runs a module of this name when it starts, in worker processes, too.
SITECUSTOMIZE = """
import os, signal, sys
for name in ("SIGHUP", "SIGPIPE", "SIGQUIT", "SIGALRM", "SIGCHLD"):
    delattr(signal, name)
for name in ("fork", "killpg", "setsid", "getpgid", "sched_getaffinity"):
    delattr(os, name)
sys.modules["resource"] = sys.modules["fcntl"] = None
"""
RUN_EACH = """
import json, os, signal, sys
assert not hasattr(signal, "SIGHUP") and not hasattr(os, "fork")
from rnn_deploy.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        assert end.code == 0, (words, end.code)
    print("ENDED", *words, flush=True)
"""


@pytest.fixture
def run_each(tmp_path):
    """Run commands one after the other in one such Python; what they wrote."""

    def run(*commands):
        (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        words = [sys.executable, "-c", RUN_EACH, json.dumps([list(c) for c in commands])]
        ended = subprocess.run(words, capture_output=True, text=True, env=environment)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("ENDED") == len(commands)
        return ended.stdout

    return run


def test_every_verb_starts(run_each):
    assert run_each(*([verb, "--help"] for verb in VERBS), ["--version"]).count("Usage: ") == len(
        VERBS
    )


def test_a_bundle_is_run_verified_inspected_and_measured(run_each, small_bundle, x, tmp_path):
    np.savez(tmp_path / "x.npz", x=x)
    bundle, inputs = str(small_bundle), str(tmp_path / "x.npz")
    shown = run_each(
        ["runtimes"],
        ["inspect", bundle],
        ["run", bundle, "--inputs", inputs],
        ["run", bundle, "--inputs", inputs, "--runtime", "litert", "--chunk", "2"],
        ["verify", bundle, "--runtime", "ort-cpu"],
        ["bench", bundle, "--runtime", "ort-cpu", "--shape", "1x1", "--seconds", "0"],
    )
    assert "passed" in shown
    assert "batch 1, 1 steps" in shown
