#!/usr/bin/env python3
"""Make .venv with the extras of a task, or reuse it, and run the task: on every system.

    python scripts/start.py setup [EXTRA]      make .venv
    python scripts/start.py test [ARGUMENTS]   style, types and tests; arguments go to pytest
    python scripts/start.py demo               build, export, run and verify the sample models
    python scripts/start.py bench [WHAT]       nothing, grid, growth or c
    python scripts/start.py docs [serve]       build the documentation site
    python scripts/start.py build              build wheel and sdist into dist/

scripts/test, scripts/demo and scripts/bench call it. It needs Python 3.11 to 3.13 and
pip, and nothing else.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
EXTRAS = {"setup": "dev", "test": "dev", "demo": "all", "bench": "all", "docs": "docs"}
BENCHES = {"grid": "bench_grid.py", "growth": "bench_growth.py", "c": "bench_c.py"}
STYLE = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main(words: list[str]) -> int:
    """Run a task; the exit code of the first command that fails, or 0."""
    if not words or words[0] not in (*EXTRAS, "build"):
        say((__doc__ or "").strip())
        return 2
    task, given = words[0], words[1:]
    extra = given[0] if task == "setup" and given else EXTRAS.get(task, "dev")
    try:
        set_up(extra)
        for command in commands(task, given):
            subprocess.run(command, cwd=ROOT, env=environment(), check=True)
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    except KeyboardInterrupt:
        return 130
    return 0


def commands(task: str, given: list[str]) -> list[list[str]]:
    """Return the commands of a task."""
    python = [str(PYTHON), "-m"]
    scripts = ROOT / "scripts"
    if task == "test":
        # Two workers: each holds a TensorFlow of its own.
        tests = [*python, "pytest", "-n", "2", "--dist", "worksteal", *given]
        return [*([*python, *words] for words in STYLE), tests]
    if task == "demo":
        return [[str(PYTHON), str(scripts / "demo.py"), *given]]
    if task == "bench":
        file = BENCHES.get(given[0]) if given else None
        words = given[1:] if file else given
        return [[str(PYTHON), str(scripts / (file or "bench.py")), *words]]
    if task == "docs":
        serve = given[:1] == ["serve"]
        return [[*python, "mkdocs", "serve"] if serve else [*python, "mkdocs", "build", "--strict"]]
    if task == "build":
        return [[*python, "pip", "install", "--quiet", "build"], [*python, "build", *given]]
    return []


def environment() -> dict[str, str]:
    """Return the variables of a task: programs of .venv come first."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    # An advertisement that Material for MkDocs prints, and that strict mode counts.
    return {**os.environ, "PATH": path, "NO_MKDOCS_2_WARNING": "1"}


def set_up(extra: str) -> None:
    """Make .venv with an extra, unless that is done."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        say(f"error: this is Python {sys.version.split()[0]}; use Python 3.11 to 3.13")
        raise subprocess.CalledProcessError(2, "setup")
    mark, wanted = VENV / f".installed-{extra}", _wanted(extra)
    if mark.is_file() and mark.read_text().strip() == wanted:
        say("setup: .venv is up to date")
        return
    say(f"setup: installing rnn-deploy[{extra}] into .venv (TensorFlow is large; some minutes)")
    if not PYTHON.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        except subprocess.CalledProcessError:
            say("error: could not make .venv; on Debian: apt-get install python3-venv")
            raise
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", "constraints.txt", "-e", f".[{extra}]"], cwd=ROOT, check=True)
    mark.write_text(wanted + "\n")


def _wanted(extra: str) -> str:
    """Return a digest of all that decides what .venv holds."""
    digest = hashlib.sha256(f"{extra}\nPython {sys.version.split()[0]}\n".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
