"""Convert a line of JSON to the inputs of one step, and the outputs of a step to a line of JSON.

A line holds the value of the only input, or an object by name, without the axes of batch and time:
a list of 3 numbers for x(batch, time, 3), one number for ids(batch, time).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.cli.arrays import numbers_of
from rnn_deploy.cli.results import RunResult, lines_of
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import one_length
from rnn_deploy.inference.preprocessing import Preprocessing
from rnn_deploy.spec import Array, Dim, EntryPoint, TensorSpec

LONGEST = 1 << 26  # bytes of one line


def lines_in(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, with its number from 1, as soon as it arrives."""
    number = 0
    while line := source.readline(LONGEST):
        number += 1
        if len(line) == LONGEST and not line.endswith(b"\n"):
            raise _malformed(number, f"expected at most {LONGEST:,} bytes; give one step per line")
        if line.strip():
            yield number, line


@dataclass(frozen=True)
class StepLines:
    """Lines of an entry point. top: how many labels a line of outputs holds."""

    entry: EntryPoint
    attached: Attachments
    top: int

    def feeds(self, number: int, line: bytes) -> dict[str, Array]:
        """Return the inputs in a line; raise InputError that names its number and what is wrong."""
        value = numbers_of(_json_in(number, line))
        preprocessing = Preprocessing(self.attached.steps)
        raw = {
            tensor.name: self._wrapped(number, tensor, found, preprocessing)
            for tensor, found in self._by_name(number, value)
        }
        with naming_line(number):
            feeds = one_length(self.entry, preprocessing.apply_to_chunk(raw))
        for tensor in self.entry.inputs:
            if not tensor.admits(feeds[tensor.name].shape):
                raise self._misfit(number, tensor, feeds[tensor.name].shape)
        return feeds

    def line(self, outputs: Mapping[str, Array]) -> str:
        """Return the outputs of one step as a line."""
        symbols = self.entry.time_symbols
        values = {
            tensor.name: outputs[tensor.name][:, 0]
            if len(tensor.shape) > 1 and tensor.shape[1] in symbols
            else outputs[tensor.name]
            for tensor in self.entry.outputs
        }
        (line,) = lines_of(RunResult(values, labels=self.attached.labels, top=self.top))
        return line

    def _by_name(self, number: int, value: Any) -> Iterator[tuple[TensorSpec, Any]]:
        inputs = self.entry.inputs
        if not isinstance(value, dict) and len(inputs) == 1:
            yield inputs[0], value
            return
        names = [tensor.name for tensor in inputs]
        if not isinstance(value, dict) or set(value) != set(names):
            got = ", ".join(map(str, value)) if isinstance(value, dict) else str(value)[:40]
            raise _malformed(
                number, f"expected an object with the names {', '.join(names)}, got {got or '{}'}"
            )
        for tensor in inputs:
            yield tensor, value[tensor.name]

    def _wrapped(
        self, number: int, tensor: TensorSpec, value: Any, preprocessing: Preprocessing
    ) -> Any:
        """Return a value with the axes of batch and time."""
        wrapped = [[value]] if self._is_timed(tensor) else [value]
        if preprocessing.takes_text(tensor.name):
            return wrapped
        try:
            array = np.array(wrapped)
        except ValueError as error:
            raise _malformed(
                number, f"input '{tensor.name}': nested lists of different lengths"
            ) from error
        if array.dtype.kind not in "fiub":
            raise _malformed(
                number, f"input '{tensor.name}': expected numbers, got {str(value)[:60]}"
            )
        if len(array.shape) != len(tensor.shape):
            raise self._misfit(number, tensor, array.shape)
        return array

    def _is_timed(self, tensor: TensorSpec) -> bool:
        return len(tensor.shape) > 1 and tensor.shape[1] in self.entry.time_symbols

    def _misfit(self, number: int, tensor: TensorSpec, shape: tuple[int, ...]) -> InputError:
        axes = 2 if self._is_timed(tensor) else 1
        return _malformed(
            number,
            f"input '{tensor.name}': expected {_described(tensor.shape[axes:])},"
            f" got {_described(shape[axes:])}",
        )


@contextmanager
def naming_line(number: int) -> Iterator[None]:
    """While open, the message of an InputError begins with the number of the line."""
    try:
        yield
    except InputError as error:
        raise InputError(error.code, f"line {number}: {error.message}") from error


def _json_in(number: int, line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig").strip())
    except json.JSONDecodeError as error:
        why = f"{error.msg} at column {error.colno}"
    except UnicodeDecodeError as error:
        why = f"{error.reason} at byte {error.start + 1}, expected UTF-8"
    except (ValueError, RecursionError) as error:
        why = str(error)
    raise _malformed(number, f"is not JSON ({why}); give one JSON value per line")


def _described(shape: tuple[Dim, ...]) -> str:
    if not shape:
        return "one number"
    if len(shape) == 1:
        return f"a list of {shape[0]} numbers"
    return f"nested lists of the shape ({', '.join(map(str, shape))})"


def _malformed(number: int, what: str) -> InputError:
    return InputError("E-DATA-LINE", f"line {number}: {what}")
