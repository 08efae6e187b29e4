"""Make the runs from which the quantiser learns the ranges of tensors, from real inputs."""

from collections.abc import Iterator, Sequence

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.references.golden import References
from rnn_deploy.spec import SEQUENCE, STEP, STREAM, Array, EntryPoint, TensorSpec
from rnn_deploy.tflite.loop import LONGEST_CHUNK

MOST_STEPS = 64
# Several blocks of several chunks; the last of each is short.
LONG = 20 * LONGEST_CHUNK + 1
Feeds = dict[str, list[dict[str, Array]]]


def feeds_by_entry(
    cases: Sequence[GoldenCase], entries: Sequence[EntryPoint], references: References
) -> Feeds:
    """Return the runs of each entry point that show its tensors' ranges.

    A stream starts from zero states, and from its final states. A step runs with the states that
    sequences reach. Some sequences are repeated several times, to reach every part of a loop and
    the largest states.
    """
    runs = {SEQUENCE: _whole, STREAM: _from_states, STEP: _steps}
    feeds = {
        entry.name: [feeds for case in cases for feeds in runs[entry.name](case, entry, references)]
        for entry in entries
    }
    for entry in entries:
        if cases and entry.time_symbols:
            feeds[entry.name].append(_long(cases[0], entry))
    return feeds


def _whole(
    case: GoldenCase, entry: EntryPoint, references: References
) -> Iterator[dict[str, Array]]:
    yield dict(case.feeds)


def _from_states(
    case: GoldenCase, entry: EntryPoint, references: References
) -> Iterator[dict[str, Array]]:
    finals = {s.tensor.name: case.reference[s.next_name] for s in entry.states}
    yield {**case.feeds, **{name: np.zeros_like(value) for name, value in finals.items()}}
    yield {**case.feeds, **finals}


def _steps(
    case: GoldenCase, entry: EntryPoint, references: References
) -> Iterator[dict[str, Array]]:
    """Return the sequence step by step; `entry` has the lengths of one step."""
    carried = {s.tensor.name: np.zeros_like(case.reference[s.next_name]) for s in entry.states}
    lengths = {v.shape[1] for t in entry.inputs if _is_step(t) for v in [case.feeds[t.name]]}
    for t in range(min(min(lengths), MOST_STEPS)):
        feeds = carried | {
            tensor.name: case.feeds[tensor.name][:, t : t + 1]
            if _is_step(tensor)
            else case.feeds[tensor.name]
            for tensor in entry.inputs
        }
        yield feeds
        results = references.reference.run(feeds)
        carried = {state.tensor.name: results[state.next_name] for state in entry.states}


def _long(case: GoldenCase, entry: EntryPoint) -> dict[str, Array]:
    states = {s.tensor.name: case.reference[s.next_name] for s in entry.states}
    feeds = {t.name: _lengthened(case.feeds[t.name], t, entry.time_symbols) for t in entry.inputs}
    return feeds | {name: np.zeros_like(value) for name, value in states.items()}


def _lengthened(value: Array, tensor: TensorSpec, symbols: Sequence[str]) -> Array:
    for axis, dim in enumerate(tensor.shape):
        if dim in symbols:
            value = np.take(value, np.arange(LONG) % value.shape[axis], axis)
    return value


def _is_step(tensor: TensorSpec) -> bool:
    return len(tensor.shape) > 1 and tensor.shape[1] == 1
