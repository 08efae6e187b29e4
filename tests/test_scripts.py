"""scripts/start.py chooses the right commands on every system."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASH = ("setup", "test", "demo", "bench")


@pytest.fixture
def start():
    spec = importlib.util.spec_from_file_location("start", ROOT / "scripts" / "start.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_bash_script_is_a_line_that_calls_it():
    for name in BASH:
        lines = (ROOT / "scripts" / name).read_text(encoding="utf-8").splitlines()
        (line,) = [line for line in lines if not line.startswith("#")]
        assert f'start.py" {name} "$@"' in line


def test_tests_come_after_style_and_types(start):
    commands = [command[2:] for command in start.commands("test", ["-x"])]
    assert [command[0] for command in commands] == ["ruff", "ruff", "mypy", "pytest"]
    assert commands[-1][-1] == "-x"


@pytest.mark.parametrize(
    ("words", "script", "rest"),
    [
        (["bench"], "bench.py", []),
        (["bench", "--plot"], "bench.py", ["--plot"]),
        (["bench", "c", "x"], "bench_c.py", ["x"]),
        (["bench", "grid"], "bench_grid.py", []),
        (["demo", "x"], "demo.py", ["x"]),
    ],
)
def test_a_script_gets_its_arguments(start, words, script, rest):
    ((_, path, *given),) = start.commands(words[0], words[1:])
    assert (Path(path).name, given) == (script, rest)
    assert Path(path).is_file()


def test_a_finished_setup_is_reused_until_its_files_change(start, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "VENV", tmp_path)
    (tmp_path / ".installed-dev").write_text(start._wanted("dev") + "\n")
    monkeypatch.setattr(start.subprocess, "run", lambda *words, **_: pytest.fail(str(words)))
    start.set_up("dev")
    assert start._wanted("dev") != start._wanted("all")


def test_an_unknown_task_shows_the_tasks():
    words = [sys.executable, ROOT / "scripts" / "start.py", "frob"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert all(f"start.py {name}" in ended.stderr for name in (*BASH, "build"))
