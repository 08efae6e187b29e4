"""A contender's own process, as seen from here: it is asked, it answers, it may die.

A crash of native code, a hang or an error there is a `WorkerError` here, and the rest goes on.
"""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rnn_deploy.bench.contender import Contender, data_from
from rnn_deploy.errors import RnnDeployError

LIMIT = 300.0  # seconds that one answer may take
COMMAND = (sys.executable, "-m", "rnn_deploy.bench.worker")


class WorkerError(RnnDeployError):
    """A contender failed, crashed or hung; the message says which."""


class Worker:
    """A loaded contender in a process of its own. startup_ns: from nothing to loaded."""

    def __init__(self, contender: Contender, *, limit: float = LIMIT) -> None:
        self._limit, self._late = limit, False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        start = time.perf_counter_ns()
        self._process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        try:
            self._ask({"contender": data_from(contender)})
        except WorkerError:
            self.close()
            raise
        self.startup_ns = time.perf_counter_ns() - start

    def first(self, feeds: Path, outputs: Path) -> int:
        """Take the feeds, make the first call, write its outputs; the nanoseconds it took."""
        return int(self._ask({"feeds": str(feeds), "outputs": str(outputs)})["first_ns"])

    def calls(self, count: int) -> list[int]:
        """Call so many times; the nanoseconds each took."""
        return list(self._ask({"calls": count})["ns"])

    def peak_bytes(self) -> int:
        """The most memory the process has held so far."""
        return int(self._ask({"memory": True})["peak_bytes"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(self._limit, self._give_up)
        timer.start()
        try:
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            raise WorkerError(self._how_it_ended())
        said: dict[str, Any] = json.loads(answer)
        if "error" in said:
            raise WorkerError(str(said["error"]))
        return said

    def _give_up(self) -> None:
        self._late = True
        self._process.kill()

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if self._late:
            return f"gave no answer within {self._limit:g} s"
        if code < 0:
            return f"crashed with {signal.Signals(-code).name}"
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"ended with exit code {code}" + (f": {said[-1]}" if said else "")
