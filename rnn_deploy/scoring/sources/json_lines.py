"""JSON Lines: a line for each sequence, nested lists or an object by input name.

A span is bytes of whole lines. Without a key, the number of the line from 0 is the key.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.preprocessing import TEXT
from rnn_deploy.optional import require
from rnn_deploy.scoring.layout import ROW, Inputs, refuse_key_type
from rnn_deploy.scoring.sequences import Fault, Ragged, Sequences
from rnn_deploy.scoring.sources.base import CHUNK, Scan, Span, hashes_of, joined
from rnn_deploy.scoring.sources.lines import BLOCK, blocks, line_starts, spans_between
from rnn_deploy.scoring.table_rows import keys_of, missing_keys
from rnn_deploy.spec import Array, TensorSpec

NOT_FINITE = ("nan", "inf", "-inf")
WRITTEN = 4  # about so many bytes of text for a byte of numbers


class JsonLinesSource:
    """One file of JSON Lines."""

    def __init__(self, place: Path, inputs: Inputs) -> None:
        self.place, self._inputs = place, inputs
        self._key = inputs.rules.id
        self._arrow = require("pyarrow")
        if inputs.rules.time is not None or inputs.rules.features:
            raise InputError(
                "E-OPTION-CONFLICT",
                f"{place}: --order and --features apply to tables with a row for each step, and a"
                " .jsonl has a line for each sequence; remove them",
            )
        self._kind = self._arrow.int64() if self._key is None else self._key_type()

    def scan(self, target: int) -> Scan:
        """Return spans of about `target` bytes of numbers."""
        starts = line_starts(self.place, 0, target * WRITTEN)
        spans, row = [], 0
        for span in spans_between(starts, self.place.stat().st_size):
            spans.append(Span(span.start, span.stop, row))
            for block in blocks(self.place, span, BLOCK):
                row += block.count(b"\n") + (not block.endswith(b"\n"))
        hashes = (
            None if self._key is None else joined([hashes_of(keys) for keys in self.key_arrays()])
        )
        return Scan(tuple(spans), row, hashes)

    def key_arrays(self) -> Iterator[Any]:
        """Yield the keys of all lines."""
        if self._key is None:
            return
        schema = self._arrow.schema([(self._key, self._kind)])
        reader = require("pyarrow.json")
        parse = reader.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        for block in blocks(self.place, Span(0, self.place.stat().st_size), 16 * BLOCK):
            try:
                whole = reader.ReadOptions(use_threads=False, block_size=len(block) + 1)
                table = reader.read_json(io.BytesIO(block), whole, parse)
                yield keys_of(table[self._key])
            except self._arrow.ArrowException:  # some lines are wrong
                found = [self._parsed(line)[0] for line in block.splitlines() if line.strip()]
                yield self._arrow.array(found, self._kind)

    def read(self, span: Span) -> Iterator[Sequences]:
        """Yield the sequences of a span; a line that cannot be read becomes a fault."""
        row = span.first_row
        for block in blocks(self.place, span, CHUNK // 4):
            lines = block.splitlines()
            numbered = [(row + at, line) for at, line in enumerate(lines) if line.strip()]
            row += len(lines)
            if numbered:
                yield self._sequences(numbered)

    def _sequences(self, lines: list[tuple[int, bytes]]) -> Sequences:
        keys: list[Any] = []
        faults: dict[int, Fault] = {}
        values: dict[str, list[Any]] = {tensor.name: [] for tensor in self._inputs.tensors}
        for at, (row, line) in enumerate(lines):
            key, found, fault = self._parsed(line)
            keys.append(row if self._key is None else key)
            for tensor in self._inputs.tensors:
                value = found.get(tensor.name) if fault is None else None
                if fault is None:
                    value, fault = _value(value, tensor)
                values[tensor.name].append(value)
            if fault is not None:
                faults[at] = fault
        array = self._arrow.array(keys, self._kind)
        feeds = {t.name: _feed(values[t.name], t, faults) for t in self._inputs.tensors}
        return Sequences(array, feeds, missing_keys(array) | faults)

    def _parsed(self, line: bytes) -> tuple[Any, dict[str, Any], Fault | None]:
        """Return the key, the values by input name, and the fault of a line."""
        try:
            value = json.loads(line)
        except ValueError as error:
            return None, {}, Fault("E-DATA-DAMAGED", f"the line is no JSON: {error}")
        if not isinstance(value, dict):
            only = self._inputs.only
            if only is None or self._key is not None:
                return None, {}, Fault("E-DATA-NAMES", "the line is no object with names")
            return None, {only.name: value}, None
        key = value.get(self._key) if self._key is not None else None
        wanted = str if self._kind == self._arrow.string() else int
        if self._key is not None and type(key) is not wanted:
            reason = f"the key '{self._key}' is {key!r:.40}, in the first line it is a {self._kind}"
            return None, {}, Fault("E-SCORE-KEY", reason)
        missing = [t.name for t in self._inputs.tensors if t.name not in value]
        if missing:
            return key, {}, Fault("E-DATA-NAMES", f"the line has no '{missing[0]}'")
        return key, value, None

    def _key_type(self) -> Any:
        """Return the type of the keys, from the first line."""
        with self.place.open("rb") as file:
            first = next((line for line in file if line.strip()), b"null")
        try:
            value = json.loads(first)
        except ValueError as error:
            raise InputError(
                "E-DATA-DAMAGED", f"{self.place}: its first line is no JSON: {error}"
            ) from error
        if not isinstance(value, dict) or self._key not in value:
            raise InputError(
                "E-DATA-COLUMN",
                f"{self.place}: its first line has no name '{self._key}'; use the name of the key"
                f" of a sequence with --sequence, or remove it to number the lines as '{ROW}'",
            )
        kind = self._arrow.array([value[self._key]]).type
        refuse_key_type(kind, f"{self.place}: '{self._key}'")
        return kind


def _value(value: Any, tensor: TensorSpec) -> tuple[Any, Fault | None]:
    if tensor.dtype == TEXT:
        return value, None
    try:
        array = np.array(_numbers(value))
    except ValueError:
        return None, Fault("E-DATA-RAGGED", f"input '{tensor.name}': its steps differ in width")
    if array.dtype.kind not in "fiub":
        return None, Fault("E-DATA-NO-NUMBERS", f"input '{tensor.name}' holds no numbers")
    if array.ndim != len(tensor.shape) - 1:
        shape = f"{array.shape}, expected ({', '.join(map(str, tensor.shape[1:]))})"
        return None, Fault("E-DATA-RAGGED", f"input '{tensor.name}' has the shape {shape}")
    return array, None


def _feed(values: list[Any], tensor: TensorSpec, faults: dict[int, Fault]) -> Ragged | list[Any]:
    if tensor.dtype == TEXT:
        return values
    widths = [value.shape[1:] for value in values if value is not None]
    usual: tuple[int, ...] = max(set(widths), key=widths.count) if widths else ()
    parts: list[Array] = []
    for row, value in enumerate(values):
        if value is not None and value.shape[1:] != usual:
            reason = f"input '{tensor.name}' has {value.shape[1:]} values a step, others {usual}"
            faults.setdefault(row, Fault("E-DATA-RAGGED", reason))
        good = value is not None and row not in faults
        parts.append(np.atleast_1d(value) if good else np.empty((0, *usual)))
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Ragged(np.concatenate([np.empty((0, *usual), parts[0].dtype), *parts]), offsets)


def _numbers(value: Any) -> Any:
    """Convert the strings "nan", "inf" and "-inf" to numbers."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if value in NOT_FINITE else value
