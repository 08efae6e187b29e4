"""Test with a reference whether the rows of a batch are independent sequences.

A mean or a softmax over the batch has a row for each sequence, although no row belongs to one
sequence. Shapes do not show this, so a few rows are run alone and compared with their batch.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, EntryPoint, Support

MOST_ROWS = 4  # the rows of a batch that are run alone
SAME = 1e-9  # for float64
ROUNDED = 1e-4  # for float32, where another batch size changes the order of summation
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def rows_match(run: Run, entry: EntryPoint, cases: Sequence[GoldenCase]) -> Support:
    """Return whether, in every case, each row alone has the same results as in its batch.

    run: the oracle; for cases without values of the oracle, the reference.
    """
    batches = [
        c for c in cases if entry.name in c.entries and not c.check and batch_of(c.feeds) > 1
    ]
    for case in batches:
        near = SAME if case.oracle else ROUNDED
        why = None if case.rows_alone else why_coupled(run, case.feeds, case.truth, near)
        if why is not None:
            return Support(False, why)
    if not batches:
        return Support(False, "no golden vector has several sequences")
    return Support(True, f"each row alone gives what it gives in {len(batches)} batches")


def why_coupled(
    run: Run, feeds: Mapping[str, Array], whole: Mapping[str, Array], near: float = SAME
) -> str | None:
    """Return why the first rows alone differ from their batch; None if they do not."""
    batch = batch_of(feeds)
    others = [
        name for name, value in (*feeds.items(), *whole.items()) if value.shape[:1] != (batch,)
    ]
    if others:
        return f"'{others[0]}' has no row for each sequence"
    for row in range(min(batch, MOST_ROWS)):
        alone = slice(row, row + 1)
        try:
            results = run({name: value[alone] for name, value in feeds.items()})
        except InputError:
            return "the model does not run one sequence alone"
        for name, value in results.items():
            if not same(value, whole[name][alone], near):
                return f"'{name}' of one sequence alone differs from what its batch gives"
    return None


def batch_of(feeds: Mapping[str, Array]) -> int:
    return int(next(iter(feeds.values())).shape[0])


def same(a: Array, b: Array, near: float = SAME) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=near, atol=near, equal_nan=True))
