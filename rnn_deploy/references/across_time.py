"""Name the layer because of which a model must not be run in chunks.

The outputs of every layer are compared: of the whole sequence, and of its chunks with the states
carried. The first layer that differs looks at other steps than its own.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.references.layer_outputs import LayerOutputs
from rnn_deploy.references.reference import Reference
from rnn_deploy.references.rows import same
from rnn_deploy.spec import Array, EntryPoint, chunks

Outputs = Sequence[tuple[str, Array]]


def layer_across_time(
    reference: Reference, stream: EntryPoint, cases: Sequence[GoldenCase], near: float
) -> str:
    """Return the name of the first layer whose chunks differ from the whole; empty if unknown.

    reference: the model that was found to differ in chunks, and `near` for its rounding.
    """
    fitting = [c for c in cases if len(c.chunks) > 1 and stream.name in c.entries]
    case = min(fitting, key=lambda c: sum(c.chunks), default=None)
    if case is None or len(stream.time_symbols) != 1:
        return ""
    outputs = LayerOutputs(reference)
    carried = {s.tensor.name: case.feeds[s.tensor.name] for s in stream.states
               if s.tensor.name in case.feeds}  # fmt: skip
    pieces: list[Outputs] = []
    try:
        whole = outputs.run(case.feeds)
        for piece in chunks.cut(stream, case.feeds, case.chunks):
            feeds: Mapping[str, Array] = piece | carried
            pieces.append(outputs.run(feeds))
            results = reference.run(feeds)
            carried = {state.tensor.name: results[state.next_name] for state in stream.states}
    except InputError:
        return ""  # the model does not run these chunks, which is the reason already
    values = zip(whole, *pieces, strict=True)
    return next((w[0] for w, *ps in values if not _alike(w[1], [p[1] for p in ps], near)), "")


def _alike(whole: Array, pieces: Sequence[Array], near: float) -> bool:
    """Whether pieces are the whole: joined along time, or the last one of a layer without time."""
    if all(piece.shape == whole.shape for piece in pieces):
        return bool(same(pieces[-1], whole, near))
    if any(piece.ndim != whole.ndim or piece.ndim < 2 for piece in pieces):
        return False
    if any(piece.shape[2:] != whole.shape[2:] for piece in pieces):
        return False
    joined = np.concatenate(pieces, axis=1)
    return joined.shape == whole.shape and bool(same(joined, whole, near))
