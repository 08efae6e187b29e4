"""C compilers and emulators that tests use, and why a test is skipped without one."""

import os
import shutil
import subprocess

import pytest

STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Werror")


def needed(*programs):
    """Skip a test unless these programs, or files by absolute path, are installed."""
    missing = [p for p in programs if not (shutil.which(p) or os.path.exists(p))]
    names = ", ".join(missing)
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {names}; .ci/run installs it")


def call(*words, place, code=0):
    """Run a program in a folder; its output. Fails the test for another exit code."""
    done = subprocess.run(
        [str(word) for word in words], cwd=place, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def written(files, place):
    """Write the text of files by name; the folder."""
    for name, text in files.items():
        (place / name).write_text(text, encoding="utf-8")
    return place
