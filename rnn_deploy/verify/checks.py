"""What is run for a golden case. Each check gives tensors by name, to be compared with the truth.

    sequence   the sequence entry point on the whole: outputs
    states     the stream entry point on the whole, from the case's initial states:
               outputs and final states
    chunked    the stream entry point piece by piece, states carried: outputs and final states
"""

from collections.abc import Callable, Mapping

from rnn_deploy.bundle import Case
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.runtimes.stream import Stream
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
    states = {state.tensor.name: state for state in runner.entry.states}
    inputs = {name: value for name, value in case.feeds.items() if name not in states}
    stream = Stream(runner, batch=next(iter(inputs.values())).shape[0])
    stream.state = stream.state | {n: v for n, v in case.feeds.items() if n in states}
    outputs = stream.run(inputs, case.chunks)
    return outputs | {states[name].next_name: value for name, value in stream.state.items()}


CHECKS: dict[str, Check] = {"sequence": _sequence, "states": _states, "chunked": _chunked}
