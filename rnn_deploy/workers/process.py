"""Start a worker process and send it requests: it answers, raises an error, crashes or hangs.

    WorkerProcess(Server, *arguments, time_limit=) --ask(method, ...)--> the method's result
    call_in_process("module:function", *arguments, time_limit=) --> the function's result

The process imports only the module of the server or function from this package. An RnnDeployError
that it raises is raised here unchanged; every other exception is a WorkerError. A call costs about
0.1 ms and a copy of the arguments.
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

FAILED, CRASHED, HUNG = "E-RUNTIME-FAILED", "E-RUNTIME-CRASHED", "E-RUNTIME-HUNG"


class WorkerError(RuntimeAbortedError):
    """A call in a worker process had no result.

    code: FAILED (it raised another error; the process lives), CRASHED (the process ended) or HUNG
    (it did not answer in time and was ended). reason: what happened, as the end of a sentence.
    stderr: everything that the process wrote to standard error.
    """

    def __init__(self, code: str, reason: str, stderr: str = "") -> None:
        self.reason, self.stderr = reason, stderr
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        self.last_line = "" if code == FAILED or not lines else lines[-1][:300]
        message = f"{reason}: {self.last_line}" if self.last_line else reason
        super().__init__(code, message)


class WorkerProcess:
    """A process that serves one object, `server(*arguments)`; both must pickle."""

    def __init__(self, server: type, *arguments: Any, time_limit: float) -> None:
        """Start the process. time_limit: seconds that one answer may take."""
        self._time_limit = time_limit
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        # It searches for modules in the same folders as this process.
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
        with contextlib.suppress(OSError):  # if it has died already, the first request reports it
            self._send((server, arguments))

    def ask(self, method: str, *arguments: Any) -> Any:
        """Return the result of a method of the served object; raise WorkerError without one."""
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
    """Call a function in its own process and return its result; raise WorkerError without one.

    target: "package.module:function"; only the process imports the module. time_limit: seconds.
    """
    with WorkerProcess(FunctionServer, time_limit=time_limit) as process:
        return process.ask("call", target, *arguments)


def how_it_ended(code: int) -> str:
    """Describe the exit code of a process; negative codes are signals, as in `subprocess`."""
    if code >= 0:
        return (
            f"left with exit code {code if code < 256 else hex(code)}"  # Windows uses large codes
        )
    try:
        return f"ended with {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"ended with signal {-code}"
