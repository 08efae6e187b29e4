"""The README's session and its Python example, run as a reader would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rnn_deploy
from rnn_deploy.cli import VERBS
from rnn_deploy.formats.registry import all_formats, default_formats
from rnn_deploy.onnx.profiles import PROFILES
from rnn_deploy.packaging.registry import all_packagers
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.runtimes.tuned import TUNED

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def _session():
    """Each command with the lines shown under it."""
    (block,) = _blocks("console")
    commands = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        elif line.strip():
            commands[-1][1].append(line)
    return commands


@pytest.mark.slow
def test_session_and_python_example(tmp_path):
    shutil.copytree(ROOT / "models", tmp_path / "models")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, shown in _session():
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=os.environ | {"PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said = done.stdout + done.stderr
        for line in shown:
            if _is_literal(line):
                assert line in said, f"{command}: shows '{line}', said\n{said}"
    (example,) = _blocks("python")
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True)


def _is_literal(line):
    """Shown as it is: without figures that depend on the machine, and not an explanation."""
    return not re.search(r"\d \w|\.\.\.|^\(|0\.9", line)


def _names():
    """The lists of names that the README must show, from the code: option, then names."""
    return {
        "--to": list(all_formats()),
        "--runtime": [*RUNTIMES, TUNED],
        "--profile": list(PROFILES),
        "package --for": list(all_packagers()),
    }


def test_the_lists_of_names_are_those_of_the_code():
    _, _, block = README.partition("<!-- names -->")
    rows = re.findall(r"^\| [^|]*\(`([^`]+)`\) \| (.*) \|$", block.partition("## ")[0], re.M)
    shown = {option: re.findall(r"`([^`]+)`", names) for option, names in rows}
    assert shown == _names()


def test_the_docstring_of_export_has_every_profile_and_mode():
    text = rnn_deploy.export.__doc__
    assert all(f'"{name}"' in text for name in (*PROFILES, *default_formats()))
    assert all(f'"{mode}"' in text for mode in all_formats()["tflite"].quantize)


def test_every_command_is_described_on_few_lines():
    described = set(re.findall(r"^\| `(\w+)[ `]", README, re.MULTILINE))
    assert set(VERBS) <= described
    assert len(README.splitlines()) <= 150
