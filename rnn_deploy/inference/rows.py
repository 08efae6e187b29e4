"""Run any number of sequences of any lengths with a function that takes one batch of one length.

    feeds --grouped by length--> batches of one length --by the model's fixed batch--> call
      --> outputs of every sequence in the original order

Sequences of different lengths are never padded here, because a layer that looks along time can see
padding. Each length is one call.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.spec import Array, EntryPoint

Call = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def run_rows(entry: EntryPoint, feeds: Mapping[str, Fitted], call: Call) -> dict[str, Fitted]:
    """Return the outputs, and states, of all sequences in the original order.

    call: runs a batch of one length. An output over time becomes a list, one array for each
    sequence, if lengths differ. A fixed batch is looped over. Raises InputError if the sequences
    cannot be separated, or if inputs have different numbers of sequences.
    """
    ragged = [name for name, value in feeds.items() if isinstance(value, list)]
    if not ragged:
        return dict(_in_fixed_batches(entry, _arrays(feeds), call))
    _refuse_coupled(entry, ragged[0])
    total = _rows_of(feeds)
    by_length: dict[tuple[int, ...], list[int]] = {}
    for row in range(total):
        by_length.setdefault(tuple(len(feeds[name][row]) for name in ragged), []).append(row)
    found: dict[str, dict[int, Array]] = {}
    for rows in by_length.values():
        part = {name: np.stack([value[row] for row in rows]) for name, value in feeds.items()}
        for name, value in _in_fixed_batches(entry, part, call).items():
            found.setdefault(name, {}).update(zip(rows, value, strict=True))
    ordered = {name: [values[row] for row in range(total)] for name, values in found.items()}
    open_ones = {t.name for t in entry.outputs if any(isinstance(d, str) for d in t.shape[1:])}
    return {n: rows if n in open_ones else np.stack(rows) for n, rows in ordered.items()}


def _in_fixed_batches(
    entry: EntryPoint, feeds: Mapping[str, Array], call: Call
) -> Mapping[str, Array]:
    """Run `feeds` in batches of the size that the model fixes, if there are several of them."""
    size = _fixed_batch(entry)
    total = next((len(value) for value in feeds.values() if np.ndim(value)), 0)
    alike = all(np.shape(value)[:1] == (total,) for value in feeds.values())
    if size is None or total == size or total == 0 or total % size or not alike:
        return call(feeds)  # the runner refuses feeds that do not fit
    if size > 1 and not entry.rows.ok:
        return call(feeds)
    pieces = [
        call({name: value[start : start + size] for name, value in feeds.items()})
        for start in range(0, total, size)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _fixed_batch(entry: EntryPoint) -> int | None:
    """Return the batch that every input, state and output fixes; None if one leaves it open."""
    sizes = {tensor.shape[0] for tensor in (*entry.all_inputs, *entry.outputs) if tensor.shape}
    (size,) = sizes if len(sizes) == 1 else (None,)
    return size if isinstance(size, int) and size > 0 else None


def _refuse_coupled(entry: EntryPoint, name: str) -> None:
    if entry.of_whole_batch:
        why = f"output '{entry.of_whole_batch[0]}' has no row for each sequence"
    elif entry.rows.ok or _fixed_batch(entry) == 1:
        return
    else:
        why = entry.rows.reason
    raise InputError(
        "E-INPUT-ONE-BATCH",
        f"input '{name}' holds sequences of different lengths, which need calls of their own, and"
        f" this model cannot run them apart: {why}; give sequences of one length",
    )


def _rows_of(feeds: Mapping[str, Fitted]) -> int:
    counts = {name: len(value) if np.ndim(value) else 0 for name, value in _sized(feeds).items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise InputError(
            "E-INPUT-ROWS", f"inputs hold different numbers of sequences: {listed}; give the same"
        )
    return next(iter(counts.values()))


def _sized(feeds: Mapping[str, Fitted]) -> dict[str, Sequence[int] | Array]:
    return {n: range(len(v)) if isinstance(v, list) else v for n, v in feeds.items()}


def _arrays(feeds: Mapping[str, Fitted]) -> dict[str, Array]:
    return {name: value for name, value in feeds.items() if not isinstance(value, list)}
