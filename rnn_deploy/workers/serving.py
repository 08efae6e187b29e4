"""The process that answers: what it is to serve comes first, then request after request.

    standard input --(class, arguments)--> served
    standard input --(verb, *given)--> served._verb(*given) --(kind, value)--> standard output

Kind is "done" with the result, "refused" with one of our own errors, "failed" with the words of any
other. Native code may write to standard output, so the answers go to the descriptor it had at
the start, and what is written there later goes to standard error. Imports nothing but what is
served does.
"""

import os
import pickle
from typing import Any

from rnn_deploy.errors import RnnDeployError, one_line


def main() -> None:
    """Answer until the input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    kind, given = pickle.load(requests)
    served = kind(*given)
    while True:
        try:
            verb, *given = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(_answered(served, verb, given), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


def _answered(served: object, verb: str, given: list[Any]) -> tuple[str, Any]:
    try:
        return "done", getattr(served, verb)(*given)
    except RnnDeployError as error:
        return "refused", error
    except Exception as error:  # whatever it is, it is the parent's to report
        return "failed", f"{type(error).__name__}: {one_line(error)}"
