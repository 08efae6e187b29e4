"""Run sequences through a loaded bundle; a failed one keeps its key and has a reason.

    Sequences --checks--> good rows --preprocessing, batches of one length--> outputs --> a table

The table has a row for each sequence in the order of the input: its key, the outputs, labels, final
states, and `error`, which is null without an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted, fitted
from rnn_deploy.inference.lengths import has_time, padded
from rnn_deploy.inference.model import in_batches
from rnn_deploy.inference.preprocessing import Preprocessing
from rnn_deploy.inference.rows import Call
from rnn_deploy.optional import require
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.scoring.arrow import column_of, type_of
from rnn_deploy.scoring.job import ScoreJob
from rnn_deploy.scoring.layout import inputs_of
from rnn_deploy.scoring.padding import Padding
from rnn_deploy.scoring.segments import can_segment, is_worth_it, run_in_segments
from rnn_deploy.scoring.sequences import Fault, Ragged, Sequences
from rnn_deploy.spec import STREAM, Array, EntryPoint

ERROR = "error"
STATE = "state:"  # the start of a column name for states
LABEL = "_label"  # the end of a column name for labels


@dataclass(frozen=True)
class InitialStates:
    """States of sequences by input name, (rows, ...), and faults of unusable states by row."""

    states: Mapping[str, Array]
    faults: Mapping[int, Fault]


class Scorer:
    """A bundle that was loaded for a job."""

    def __init__(self, bundle: Bundle, job: ScoreJob) -> None:
        self.entry: EntryPoint = bundle.manifest.entry(job.entry)
        refuse_coupled(self.entry)
        attached = attachments_of(bundle)
        self._inputs = inputs_of(bundle, job.rules)
        self._preprocessing = Preprocessing(attached.steps)
        self._labels = {n: v for n, v in attached.labels.items() if v}
        self._job = job
        runtime = runtime_named(job.runtime)
        self._runner = runtime.load(bundle, RunOptions(job.entry, job.threads))
        self._stream = _stream_runner(bundle, job, self._runner, runtime)
        self._call: Call = partial(in_batches, self._runner, size=job.batch_size)
        if isinstance(self.entry.inputs[0].shape[0], int):
            self._call = self._runner.run
        self._padding = Padding(self.entry)
        timed = [tensor for tensor in self.entry.inputs if has_time(tensor)]
        # A model with a fixed number of steps that masks padding accepts shorter sequences too.
        self._fixed_time = bool(timed) and all(
            isinstance(tensor.shape[1], int) and tensor.padding is not None for tensor in timed
        )

    def score(self, sequences: Sequences, initial: InitialStates | None = None) -> Any:
        """Return an Arrow table with a row for each sequence."""
        faults = dict(sequences.faults)
        self._check(sequences, faults)
        if initial is not None:
            faults = {**initial.faults, **faults}
        rows = [row for row in range(len(sequences)) if row not in faults]
        found: dict[str, list[Array | None]] = {
            name: [None] * len(sequences) for name in self._result_names()
        }
        self._run(sequences, initial, rows, found, faults)
        return self._table(sequences, found, faults)

    def _check(self, sequences: Sequences, faults: dict[int, Fault]) -> None:
        """Find rows that would make a whole batch fail, or its result meaningless."""
        if self._job.duplicates:
            twice = Fault("E-SCORE-KEY", "the key occurs more than once in the input")
            for row, key in enumerate(sequences.keys.to_pylist()):
                if key in self._job.duplicates:
                    faults.setdefault(row, twice)
        for tensor in self._inputs.tensors:
            value = sequences.feeds[tensor.name]
            if not isinstance(value, Ragged):
                blank = Fault("E-INPUT-EMPTY", f"input '{tensor.name}' is an empty text")
                for row, text in enumerate(value):
                    if isinstance(text, str) and not text.strip():
                        faults.setdefault(row, blank)
                continue
            if has_time(tensor):
                empty = Fault("E-INPUT-EMPTY", f"input '{tensor.name}' has no steps")
                for row in np.flatnonzero(value.lengths == 0).tolist():
                    faults.setdefault(row, empty)
            if value.values.dtype.kind == "f":
                axes = tuple(range(1, value.values.ndim))
                odd = np.flatnonzero(~np.isfinite(value.values).all(axis=axes))
                reason = f"input '{tensor.name}' contains NaN or infinity"
                for row in np.unique(value.row_of(odd)).tolist():
                    faults.setdefault(row, Fault("E-SCORE-NAN", reason))

    def _run(
        self, sequences: Sequences, initial: InitialStates | None, rows: list[int],
        found: dict[str, list[Array | None]], faults: dict[int, Fault],
    ) -> None:  # fmt: skip
        """Run rows; if that fails, run each half, until the failing rows are found."""
        if not rows:
            return
        try:
            results = self._results(sequences, initial, rows)
        except InputError as error:
            if len(rows) == 1:
                faults[rows[0]] = Fault.of(error)
                return
            half = len(rows) // 2
            for part in (rows[:half], rows[half:]):
                self._run(sequences, initial, part, found, faults)
            return
        for name, values in found.items():
            for row, value in zip(rows, results[name], strict=True):
                values[row] = value

    def _results(
        self, sequences: Sequences, initial: InitialStates | None, rows: list[int]
    ) -> dict[str, Fitted]:
        raw: dict[str, Any] = {}
        for tensor in self._inputs.tensors:
            value = sequences.feeds[tensor.name]
            picked = [value.row(r) for r in rows] if isinstance(value, Ragged) else [
                value[r] for r in rows
            ]  # fmt: skip
            if isinstance(value, Ragged) and len(tensor.shape) == 1:
                picked = [row[0] for row in picked]
            raw[tensor.name] = picked
        feeds = self._fitted(self._preprocessing.apply(raw))
        if self._fixed_time:
            feeds = padded(self.entry, feeds, "post")[0]
        if initial is not None:
            feeds |= {name: value[rows] for name, value in initial.states.items()}
        if self._stream is not None:
            lengths = [len(row) for row in feeds[self._stream.entry.timed]]
            if is_worth_it(lengths):
                size = self._job.batch_size
                return run_in_segments(self._stream.entry, feeds, self._stream.run, size)
        return self._padding.run(feeds, self._call)

    def _fitted(self, feeds: Mapping[str, Any]) -> dict[str, Fitted]:
        """Return feeds in the model's dtypes; one conversion for all rows is much faster."""
        done: dict[str, Fitted] = {}
        for tensor in self.entry.inputs:
            value = feeds[tensor.name]
            rows = value if isinstance(value, list) else list(value)
            arrays = all(isinstance(row, np.ndarray) and row.ndim for row in rows)
            if not arrays or len({row.shape[1:] for row in rows}) > 1:
                done |= fitted(self.entry, {tensor.name: value})
                continue
            flat = fitted(self.entry, {tensor.name: np.concatenate(rows)})[tensor.name]
            cuts = np.cumsum([len(row) for row in rows])[:-1]
            done[tensor.name] = np.split(np.asarray(flat), cuts)
        return done

    def _result_names(self) -> list[str]:
        names = [tensor.name for tensor in self.entry.outputs]
        return names + ([s.next_name for s in self.entry.states] if self._job.keep_states else [])

    def _table(
        self, sequences: Sequences, found: dict[str, list[Array | None]], faults: dict[int, Fault]
    ) -> Any:
        arrow = require("pyarrow")
        columns: dict[str, Any] = {self._inputs.key_name: sequences.keys}
        for tensor in self.entry.outputs:
            columns[tensor.name] = column_of(tensor, found[tensor.name])
            if tensor.name in self._labels:
                columns[tensor.name + LABEL] = label_column(
                    found[tensor.name], self._labels[tensor.name], len(tensor.shape) > 2
                )
        if self._job.keep_states:
            for spec in self.entry.states:
                columns[STATE + spec.tensor.name] = column_of(spec.tensor, found[spec.next_name])
        reasons = [str(faults[row]) if row in faults else None for row in range(len(sequences))]
        columns[ERROR] = arrow.array(reasons, arrow.string())
        return arrow.table(columns)


def _stream_runner(
    bundle: Bundle, job: ScoreJob, runner: Runner, runtime: Runtime
) -> Runner | None:
    """Return a runner that runs sequences in segments; None if the model cannot."""
    entries = [entry for entry in bundle.manifest.entries if entry.name == STREAM]
    if not entries or not can_segment(entries[0]):
        return None
    if job.entry == STREAM:
        return runner
    if [t.name for t in entries[0].inputs] != [t.name for t in runner.entry.inputs]:
        return None
    return runtime.load(bundle, RunOptions(STREAM, job.threads))


def refuse_coupled(entry: EntryPoint) -> None:
    """Raise InputError for a model whose rows depend on their batch."""
    fixed = {tensor.shape[0] for tensor in entry.inputs if isinstance(tensor.shape[0], int)}
    why = entry.why_one_batch
    if why is not None and fixed != {1}:
        raise InputError(
            "E-INPUT-ONE-BATCH",
            f"this model cannot score sequences in batches of any size: {why}; export it with"
            " --batch open, or run it with: rnn-deploy run",
        )


def refuse_names(entry: EntryPoint, key: str) -> None:
    """Raise InputError if two columns of the output would have the same name."""
    names = [tensor.name for tensor in entry.outputs]
    for tensor in (*entry.outputs, *(state.tensor for state in entry.states)):
        type_of(tensor)
    if key in (*names, ERROR) or ERROR in names:
        raise InputError(
            "E-SCORE-NAMES",
            f"the output would have two columns '{key if key in names else ERROR}'; rename the"
            " column of the key",
        )


def label_column(rows: list[Array | None], labels: Any, over_time: bool) -> Any:
    """Return the likeliest label of each row, or of each of its steps."""
    arrow = require("pyarrow")
    names = np.asarray(list(labels), dtype=object)
    chosen = [None if row is None else _likeliest(row, names) for row in rows]
    kind = arrow.list_(arrow.string()) if over_time else arrow.string()
    return arrow.array(chosen, kind)


def _likeliest(value: Any, names: Any) -> Any:
    if len(names) == 2 and value.shape[-1] == 1:  # the probability of the second label
        index = (value[..., 0] > 0.5).astype(int)
    else:
        index = value.argmax(axis=-1)
    picked = names[index]
    return picked.tolist() if isinstance(picked, np.ndarray) else picked
