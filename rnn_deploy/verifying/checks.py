"""What is run for a golden case. Each check gives tensors by name, to be compared with the truth.

sequence   the sequence entry point on the whole: outputs
states     the stream entry point on the whole, from the case's initial states:
           outputs and final states
chunked    the stream entry point piece by piece, states carried: outputs and final states
"""

from collections.abc import Callable, Mapping

from rnn_deploy.bundle import Case
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.runtimes.stream import run_in_chunks
from rnn_deploy.spec import SEQUENCE, STREAM, Array

Runners = Mapping[str, Runner]
Check = Callable[[Runners, Case], dict[str, Array] | None]


def _sequence(runners: Runners, case: Case) -> dict[str, Array] | None:
    if SEQUENCE not in case.entries:
        return None
    return runners[SEQUENCE].run(case.feeds)


def _states(runners: Runners, case: Case) -> dict[str, Array] | None:
    if STREAM not in case.entries or STREAM not in runners:
        return None
    return runners[STREAM].run(case.feeds)


def _chunked(runners: Runners, case: Case) -> dict[str, Array] | None:
    if STREAM not in runners or len(case.chunks) < 2:
        return None
    runner = runners[STREAM]
    if not runner.entry.chunked.ok:
        return None
    return run_in_chunks(runner, case.feeds, case.chunks)


CHECKS: dict[str, Check] = {"sequence": _sequence, "states": _states, "chunked": _chunked}
