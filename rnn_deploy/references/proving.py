"""Compare the references with each other, layer by layer, and bound a sequence's rounding error.

The export does this, since it needs the layers' weights; the bundle stores the results.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.bundle.proof import Proof, ReferenceDistances, RunningStates
from rnn_deploy.errors import InputError
from rnn_deploy.numerics.cells import Float, LayerRun, again, run
from rnn_deploy.numerics.rounding import Mask, RunningBound, running_bound
from rnn_deploy.references.reference import Reference
from rnn_deploy.spec import Array, EntryPoint, StateKey, chunks

OTHERS = 16.0  # the error of a layer's input in other runtimes, relative to TensorFlow's
MOST_STEPS = 64


def proof_of(
    reference: Reference, oracle: Reference, entry: EntryPoint, cases: Sequence[GoldenCase]
) -> Proof:
    """Compare the references on the plain cases, and bound every step of the longest one.

    entry: with the result of the chunk test: only a model that can run step by step has a bound.
    """
    usable = [c for c in cases if entry.name in c.entries and not c.check]
    usable = [c for c in usable if not c.chunks or sum(c.chunks) <= MOST_STEPS]
    if not usable:
        return Proof()
    bounds: dict[StateKey, RunningBound] = {}
    votes: dict[str, ReferenceDistances] = {}
    longest = max(usable, key=lambda c: (sum(c.chunks), -_batch(c)))
    feeds = {name: value[:1] for name, value in longest.feeds.items()}
    alone = all(isinstance(tensor.shape[0], str) for tensor in entry.inputs)
    try:
        for case in usable:
            for ours, true in _runs(reference, oracle, case.feeds):
                before = votes.get(true.name)
                vote = _votes(ours, true)
                votes[true.name] = vote if before is None else before.widened(vote)
        for ours, true in _runs(reference, oracle, feeds) if alone else ():
            found = bounds_of(ours, true)
            bounds |= found
            growths = [bound.growth for bound in found.values()]
            votes[true.name] = replace(votes[true.name], growth=max(growths, default=math.nan))
    except InputError:
        return Proof()
    if not alone or not entry.chunked.ok or len(entry.time_symbols) != 1:
        return Proof(tuple(votes.values()), feeds)
    return Proof(tuple(votes.values()), feeds, _running(reference, oracle, entry, feeds, bounds))


def _runs(
    reference: Reference, oracle: Reference, feeds: Mapping[str, Array]
) -> Iterator[tuple[LayerRun, LayerRun]]:
    return zip(reference.layer_runs(feeds), oracle.layer_runs(feeds), strict=True)


def _votes(ours: LayerRun, true: LayerRun) -> ReferenceDistances:
    output, states = again(true)
    cells = (output, *states)
    oracle, tensorflow = (true.output, *true.after), (ours.output, *ours.after)
    return ReferenceDistances(
        true.name,
        _distance(tensorflow, oracle),
        _distance(cells, oracle),
        _distance(cells, tensorflow),
        max(float(np.abs(value).max(initial=0.0)) for value in oracle),
        math.nan,
    )


def bounds_of(ours: LayerRun, true: LayerRun) -> dict[StateKey, RunningBound]:
    """Return the running bound of each layer of a stack; an output error enters the next one."""
    found: dict[StateKey, RunningBound] = {}
    x = true.x[0].astype(np.float64)
    error: float | Float = OTHERS * _distance((ours.x,), (true.x,))
    before = [state.astype(np.float64) for state in true.before]
    mask = None if true.mask is None else true.mask[0]
    for layer in true.layers:
        states = tuple(before.pop(0) for _ in layer.roles)
        start = tuple(state[0] for state in states)
        bound = running_bound(layer, x, start, mask, error)
        found |= {(layer.name, role): bound for role in layer.roles}
        outputs, _ = run(layer, x[None], tuple(state[:1] for state in states), _row(mask))
        x, error = outputs[0], bound.states[0]
        if mask is not None and layer.go_backwards:
            mask = mask[::-1]  # the next layer runs over the steps in this order
    return found


def _row(mask: Mask | None) -> Mask | None:
    return None if mask is None else mask[None]


def _running(
    reference: Reference,
    oracle: Reference,
    stream: EntryPoint,
    feeds: dict[str, Array],
    bounds: Mapping[StateKey, RunningBound],
) -> dict[str, RunningStates]:
    true, ours = (_steps(runs, stream, feeds) for runs in (oracle, reference))
    running = {}
    for state in stream.states:
        bound = None
        if state.key in bounds and np.ndim(true[state.next_name]) == 3:
            of_layer = bounds[state.key].states
            roles = [s.role for s in stream.states if s.layer == state.layer]
            bound = of_layer[roles.index(state.role)][:, None]
        running[state.next_name] = RunningStates(
            true[state.next_name], ours[state.next_name], bound
        )
    return running


def _steps(runs: Reference, stream: EntryPoint, feeds: dict[str, Array]) -> dict[str, Array]:
    """Return every state after every step."""
    carried = {s.tensor.name: feeds[s.tensor.name] for s in stream.states if s.tensor.name in feeds}
    seen: dict[str, list[Array]] = {state.next_name: [] for state in stream.states}
    for piece in chunks.cut(stream, feeds, [1] * chunks.length_of(stream, feeds)):
        results = runs.run(piece | carried)
        carried = {state.tensor.name: results[state.next_name] for state in stream.states}
        for name, values in seen.items():
            values.append(results[name])
    return {name: np.stack(values) for name, values in seen.items()}


def _distance(a: Sequence[Array], b: Sequence[Array]) -> float:
    pairs = zip(a, b, strict=True)
    with np.errstate(invalid="ignore"):
        gaps = [np.abs(x.astype(np.float64) - y.astype(np.float64)) for x, y in pairs]
    return max(float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0)) for gap in gaps)


def _batch(case: GoldenCase) -> int:
    return int(next(iter(case.feeds.values())).shape[0])
