"""A process that serves an object of ours, as seen from here: it is asked, it answers, it may die.

    Process(Served, arguments) --ask(verb, ...)--> the method's result, or an error

An error of ours comes back as it is, any other as a RuntimeAbortedError with its words; so does
the end of the process, with the signal's name and its last words, and an answer that does not
come in time. A call costs some 0.1 ms and a copy of what is sent.
"""

import contextlib
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from typing import IO, Any, Self

from rnn_deploy.errors import RnnDeployError, RuntimeAbortedError

HUNG, DIED = "hung", "died"


class ProcessEndedError(RuntimeAbortedError):
    """The process hung (and was ended) or died. how: in words. said: its last line."""

    def __init__(self, kind: str, how: str, said: str) -> None:
        super().__init__(f"{how}: {said}" if said else how)
        self.kind, self.how, self.said = kind, how, said


class WorkerProcess:
    """One life of a process that serves `served(*given)`, both of which must pickle."""

    def __init__(self, served: type, *given: Any, limit: float) -> None:
        """limit: seconds that one answer may take."""
        self._limit = limit
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        # This process's own path, so that the other finds what this one found.
        code = f"import sys; sys.path[:] = {sys.path!r}; from rnn_deploy.workers import serving"
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{code}; serving.main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._answers: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with contextlib.suppress(OSError):  # if it is dead already, the first question says so
            self._send((served, given))

    def ask(self, verb: str, *given: Any) -> Any:
        """What the served object's method `verb` gives."""
        try:
            self._send((verb, *given))
            answer = self._answers.get(timeout=self._limit)
        except OSError:
            answer = None
        except queue.Empty:
            raise self._ended(HUNG) from None
        if answer is None:
            raise self._ended(DIED)
        kind, value = answer
        if kind == "refused" and isinstance(value, RnnDeployError):
            raise value
        if kind == "failed":
            raise RuntimeAbortedError(value)
        return value

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, request: tuple[Any, ...]) -> None:
        assert self._process.stdin is not None
        pickle.dump(request, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self._answers.put(pickle.load(self._process.stdout))
        self._answers.put(None)

    def _ended(self, kind: str) -> ProcessEndedError:
        if kind == HUNG:
            self._process.kill()
        code = self._process.wait()
        if kind == HUNG:
            how = f"gave no answer within {self._limit:g} s"
        elif code < 0:
            how = f"ended with {signal.Signals(-code).name}"
        else:
            how = f"left with exit code {code}"
        return ProcessEndedError(kind, how, self._last_line())

    def _last_line(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
