"""Start a worker process and ask it: it answers, it raises, it crashes or it hangs.

    WorkerProcess(Server, *arguments, time_limit=) --ask(method, ...)--> the method's result
    call_in_process("module:function", *arguments, time_limit=) --> the function's result

The process imports the module of the server or function and nothing else of this package. An
RnnDeployError that is raised there is raised here as it is; everything else is a WorkerError. A
call costs about 0.1 ms and a copy of what is sent.
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
from rnn_deploy.workers.serving import FunctionServer

FAILED, CRASHED, HUNG = "failed", "crashed", "hung"


class WorkerError(RuntimeAbortedError):
    """A call in a worker process came to no result.

    kind: FAILED (it raised an error that is not ours; the process lives), CRASHED (the process
    ended) or HUNG (it gave no answer in time and was ended). reason: what happened, as the end of
    a sentence. stderr: everything that the process wrote to standard error.
    """

    def __init__(self, kind: str, reason: str, stderr: str = "") -> None:
        self.kind, self.reason, self.stderr = kind, reason, stderr
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        self.last_line = "" if kind == FAILED or not lines else lines[-1][:300]
        message = f"{reason}: {self.last_line}" if self.last_line else reason
        super().__init__(f"E-RUNTIME-{kind.upper()}", message)


class WorkerProcess:
    """A process that serves one object, `server(*arguments)`; both must pickle."""

    def __init__(self, server: type, *arguments: Any, time_limit: float) -> None:
        """time_limit: seconds that one answer may take."""
        self._time_limit = time_limit
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        # It searches for modules where this process does, so that both find the same ones.
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
        with contextlib.suppress(OSError):  # if it has died already, the first question reports it
            self._send((server, arguments))

    def ask(self, method: str, *arguments: Any) -> Any:
        """Return what a method of the served object returns; WorkerError if it comes to nothing."""
        try:
            self._send((method, *arguments))
            answer = self._answers.get(timeout=self._time_limit)
        except OSError:
            answer = None
        except queue.Empty:
            self._process.kill()
            self._process.wait()
            reason = f"gave no answer within {self._time_limit:g} s"
            raise WorkerError(HUNG, reason, self._stderr()) from None
        if answer is None:
            raise WorkerError(CRASHED, how_it_ended(self._process.wait()), self._stderr())
        kind, value = answer
        if kind == "refused" and isinstance(value, RnnDeployError):
            raise value
        if kind == "failed":
            raise WorkerError(FAILED, f"failed: {value}", self._stderr())
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

    def _stderr(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")


def call_in_process(target: str, *arguments: Any, time_limit: float) -> Any:
    """Return what a function returns when a process of its own calls it; WorkerError if nothing.

    target: "package.module:function"; only that process imports the module. time_limit: seconds.
    """
    with WorkerProcess(FunctionServer, time_limit=time_limit) as process:
        return process.ask("call", target, *arguments)


def how_it_ended(code: int) -> str:
    """Describe the exit code of a process; negative codes are signals, as in `subprocess`."""
    if code >= 0:
        return f"left with exit code {code if code < 256 else hex(code)}"  # hexadecimal on Windows
    try:
        return f"ended with {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"ended with signal {-code}"
