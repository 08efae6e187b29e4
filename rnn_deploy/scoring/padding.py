"""Pad sequences to few lengths if the model masks padding, so that more of them share a batch.

A length is rounded up by at most an eighth. A model that masks padding may still read it in a layer
without mask support, so some sequences run once with and without padding and are compared.
"""

from collections.abc import Mapping

import numpy as np

from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.inference.lengths import has_time
from rnn_deploy.inference.rows import Call, run_rows
from rnn_deploy.spec import Array, EntryPoint

PROBED = 3  # sequences
ALLOWED = 1e-5  # of the largest value of an output; kernels for other shapes round differently


class Padding:
    """Pads the inputs of an entry point and cuts its outputs, after a test that it is harmless."""

    def __init__(self, entry: EntryPoint) -> None:
        self._entry = entry
        self._timed = [tensor for tensor in entry.inputs if has_time(tensor)]
        masked = all(tensor.padding is not None for tensor in self._timed)
        self._possible = bool(
            self._timed and masked and len(entry.time_symbols) == 1 and not entry.of_whole_batch
        )
        self._harmless: bool | None = None

    def run(self, feeds: Mapping[str, Fitted], call: Call) -> dict[str, Fitted]:
        """Return the outputs of all sequences in order, like `run_rows`."""
        lengths = [len(row) for row in feeds[self._timed[0].name]] if self._possible else []
        padded = [rounded(length) for length in lengths]
        if padded == lengths:
            return run_rows(self._entry, feeds, call)
        if self._harmless is None:
            odd = [row for row, length in enumerate(lengths) if padded[row] != length][:PROBED]
            probe = {name: _chosen(value, odd) for name, value in feeds.items()}
            apart = run_rows(self._entry, probe, call)
            self._harmless = _agree(apart, self._run_padded(probe, call))
        return self._run_padded(feeds, call) if self._harmless else run_rows(
            self._entry, feeds, call
        )  # fmt: skip

    def _run_padded(self, feeds: Mapping[str, Fitted], call: Call) -> dict[str, Fitted]:
        lengths = [len(row) for row in feeds[self._timed[0].name]]
        longer: dict[str, Fitted] = dict(feeds)
        for tensor in self._timed:
            assert tensor.padding is not None
            longer[tensor.name] = [
                _padded(row, rounded(len(row)), tensor.padding) for row in feeds[tensor.name]
            ]
        results = run_rows(self._entry, longer, call)
        for tensor in self._entry.outputs:
            if tensor.shape[1:2] == self._entry.time_symbols:
                rows = zip(results[tensor.name], lengths, strict=True)
                results[tensor.name] = [row[:length] for row, length in rows]
        return results


def rounded(length: int) -> int:
    """Return the length to which a sequence is padded."""
    step = max(1, 1 << max(0, length.bit_length() - 4))
    return -(-length // step) * step


def _padded(row: Array, size: int, value: float) -> Array:
    if len(row) == size:
        return row
    full = np.full((size, *row.shape[1:]), value, row.dtype)
    full[: len(row)] = row
    return full


def _chosen(value: Fitted, rows: list[int]) -> Fitted:
    return [value[row] for row in rows] if isinstance(value, list) else value[rows]


def _agree(apart: Mapping[str, Fitted], padded: Mapping[str, Fitted]) -> bool:
    for name, rows in apart.items():
        for one, other in zip(rows, padded[name], strict=True):
            scale = float(np.max(np.abs(one), initial=1e-30))
            if np.shape(one) != np.shape(other) or not np.allclose(
                one, other, rtol=0, atol=ALLOWED * scale
            ):
                return False
    return True
