"""Calling the command line in this process, and a disk that fills up."""

import resource
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from rnn_deploy.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def refused(self, code: int, *words: str) -> str:
        """Assert one line of error with these words, no data, and this exit code; the line.

        What was read may be said before.
        """
        assert self.code == code, self.err
        assert self.out == ""
        (line,) = (line for line in self.err.splitlines() if not line.startswith("read "))
        assert line.startswith("error: ")
        for word in words:
            assert word in line
        return line


@pytest.fixture
def command(capfd):
    """Run `rnn-deploy` with these words in this process."""

    def run(*words):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return Ended(left.value.code, said.out, said.err)

    return run


@pytest.fixture
def disk_of():
    """While open, no file can grow beyond so many bytes: writing more fails half-way."""

    @contextmanager
    def limited(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture
def snapshot(tmp_path):
    """Every place below the test's folder by name, with the bytes of files."""

    def take():
        return {
            place.relative_to(tmp_path).as_posix(): place.read_bytes() if place.is_file() else None
            for place in tmp_path.rglob("*")
        }

    return take


@pytest.fixture
def run(command, small_bundle, tmp_path, x):
    """Run the small model on x with these words, and on nothing else unless given."""

    def call(*words, bundle=small_bundle, **inputs):
        place = tmp_path / "x.npz"
        if not place.exists():
            np.savez(place, **(inputs or {"x": x}))
        return command("run", bundle, "--inputs", place, *words)

    return call
