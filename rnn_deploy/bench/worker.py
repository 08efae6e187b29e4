"""The process a contender runs in: `python -m rnn_deploy.bench.worker`.

    a line of standard input                  the line that answers it
    {"contender": contender.data_from(...)}   {}                      it is loaded
    {"feeds": IN.npz, "outputs": OUT.npz}     {"first_ns": n}         the first call was made
    {"calls": n}                              {"ns": [...]}           what each call took
    {"memory": true}                          {"peak_bytes": n}       of this process so far

An error is answered {"error": message}. Native code may write to standard output, so the answers
go to the descriptor it had at the start, and what is written there later goes to standard error.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnn_deploy.bench.contender import contender_from
from rnn_deploy.bench.measure import timed
from rnn_deploy.bench.opening import Call, Opened, open_contender
from rnn_deploy.errors import one_line

Asked = dict[str, Any]


def main() -> None:
    """Answer line after line until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    served = _Served()
    for line in sys.stdin:
        _answer(answers, served, json.loads(line))


def _answer(answers: IO[str], served: "_Served", asked: Asked) -> None:
    try:
        said = served.answer(asked)
    except Exception as error:  # whatever it is, it is the parent's to report
        said = {"error": f"{one_line(error)}" or type(error).__name__}
    print(json.dumps(said), file=answers)


class _Served:
    """The contender that answers, once it is loaded."""

    def __init__(self) -> None:
        self._opened: Opened = lambda feeds: lambda: ()
        self._call: Call = lambda: ()

    def answer(self, asked: Asked) -> Asked:
        if "contender" in asked:
            self._opened = open_contender(contender_from(asked["contender"]))
            return {}
        if "calls" in asked:
            return {"ns": list(timed(self._call)(int(asked["calls"])))}
        if "memory" in asked:
            return {"peak_bytes": peak_bytes()}
        with np.load(asked["feeds"], allow_pickle=False) as file:
            self._call = self._opened({name: file[name] for name in file.files})
        start = time.perf_counter_ns()
        outputs = self._call()
        first = time.perf_counter_ns() - start
        np.savez(asked["outputs"], *outputs)
        return {"first_ns": first}


def peak_bytes() -> int:
    """The most memory this process has held.

    On Linux VmHWM, which begins anew with each program; ru_maxrss keeps its parent's.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
