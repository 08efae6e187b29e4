"""Checks what is fed before a runtime sees it.

Runtimes differ in what they do with a wrong shape: some refuse, some abort the process, some
compute something else. Here every feed either fits the entry point exactly or is refused with
one line. Made once per runner; a call costs a few microseconds.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from rnn_deploy.errors import ClosedError, InputError
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

Check = Callable[[Mapping[str, Array]], list[Array]]
Kind = tuple[tuple[int, ...], np.dtype[Any]] | None


def checker(entry: EntryPoint) -> Check:
    """A function from feeds by name to arrays in the order of `entry.all_inputs`.

    Arrays of the shapes and dtypes that passed last are not looked at again.
    """
    plans = [(t.name, np.dtype(t.dtype), len(t.shape), _axes(t), t) for t in entry.all_inputs]
    names = {tensor.name for tensor in entry.all_inputs}
    required = [tensor.name for tensor in entry.inputs]
    states = {state.tensor.name: state.tensor for state in entry.states}
    order = [tensor.name for tensor in entry.all_inputs]
    passed: list[Kind] | None = None

    def check(feeds: Mapping[str, Array]) -> list[Array]:
        nonlocal passed
        if feeds.keys() == names:
            given = [feeds[name] for name in order]
            if [_kind(array) for array in given] == passed:
                return given
        else:
            feeds = _completed(entry, feeds, required, states)
        arrays: list[Array] = []
        sizes: dict[str, int] = {}
        for name, dtype, rank, axes, tensor in plans:
            array = feeds[name]
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != rank:
                raise InputError(_mismatch(tensor, array))
            if type(array) is not np.ndarray:
                array = _without_subclass(tensor, array)
            shape = array.shape
            for axis, dim in axes:
                size = shape[axis]
                expected = dim if isinstance(dim, int) else sizes.setdefault(dim, size)
                if size != expected or size == 0:
                    raise InputError(_wrong_size(tensor, array, axis, expected))
            arrays.append(array)
        passed = [_kind(array) for array in arrays]
        return arrays

    return check


def closed(_: object) -> NoReturn:
    """Replace a runner's check, or the function that would load it again, after it is closed."""
    raise ClosedError("E-RUNTIME-CLOSED", "this model is closed; load the bundle again")


def _kind(array: Array) -> Kind:
    return (array.shape, array.dtype) if type(array) is np.ndarray else None


def vocabulary_faults(entry: EntryPoint, feeds: Mapping[str, Array]) -> str | None:
    """What is wrong with token ids in `feeds`, or None."""
    for tensor in entry.inputs:
        if tensor.below is None:
            continue
        value = feeds[tensor.name]
        low, high = value.min(), value.max()
        if low < -tensor.below or high >= tensor.below:
            return (
                f"input '{tensor.name}' holds the id {low if low < -tensor.below else high},"
                f" the model's vocabulary has ids 0 to {tensor.below - 1}"
            )
    return None


def not_finite(feeds: Mapping[str, Array]) -> list[str]:
    """The names of the feeds that hold NaN or infinities."""
    floats = (name for name, value in feeds.items() if value.dtype.kind == "f")
    return [name for name in floats if not np.isfinite(feeds[name]).all()]


def zero_states(entry: EntryPoint, batch: int) -> dict[str, Array]:
    """Initial states of zero for `batch` sequences, by input name."""
    return {
        state.tensor.name: np.zeros(
            [dim if isinstance(dim, int) else batch for dim in state.tensor.shape],
            state.tensor.dtype,
        )
        for state in entry.states
    }


def _axes(tensor: TensorSpec) -> tuple[tuple[int, int | str], ...]:
    return tuple(enumerate(tensor.shape))


def _completed(
    entry: EntryPoint,
    feeds: Mapping[str, Array],
    required: list[str],
    states: Mapping[str, TensorSpec],
) -> dict[str, Array]:
    unknown = [name for name in feeds if name not in required and name not in states]
    missing = [name for name in required if name not in feeds]
    if unknown or missing:
        said = [f"unknown {', '.join(map(repr, unknown))}"] if unknown else []
        said += [f"missing {', '.join(map(repr, missing))}"] if missing else []
        wanted = "; ".join(map(str, entry.all_inputs))
        raise InputError(f"inputs do not fit: {', '.join(said)}; '{entry.name}' takes {wanted}")
    first = feeds[required[0]]
    batch = first.shape[0] if isinstance(first, np.ndarray) and first.ndim else 1
    return {**zero_states(entry, batch), **feeds}


def _without_subclass(tensor: TensorSpec, array: Array) -> Array:
    """A plain array; InputError for a masked one, whose mask would be lost without a word."""
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(
            f"input '{tensor.name}' is a masked array, and no runtime sees its mask; fill it with"
            " what the model takes for padding, for instance x.filled(0)"
        )
    return np.asarray(array)


def _mismatch(tensor: TensorSpec, array: object) -> str:
    asked = f"input '{tensor.name}' takes {tensor.dtype}({', '.join(map(str, tensor.shape))})"
    if not isinstance(array, np.ndarray):
        return f"{asked}, found {type(array).__name__}; give a NumPy array"
    if array.ndim != len(tensor.shape):
        found = f"{asked}, found {array.ndim} dimensions {array.shape}"
        if array.ndim != len(tensor.shape) - 1:
            return f"{found}; give {len(tensor.shape)}"
        return f"{found}; a single sequence still needs its batch axis: x[None]"
    return f"{asked}, found {array.dtype}; convert it: np.asarray(x, '{tensor.dtype}')"


def _wrong_size(tensor: TensorSpec, array: Array, axis: int, expected: int) -> str:
    asked = f"input '{tensor.name}' takes {tensor.dtype}({', '.join(map(str, tensor.shape))})"
    dim = tensor.shape[axis]
    if array.shape[axis] == 0:
        return f"{asked}, found {array.shape}: axis {axis} is empty; give at least one"
    if isinstance(dim, str):
        return f"{asked}, found {array.shape}: '{dim}' is {expected} in the inputs before it"
    return f"{asked}, found {array.shape}: axis {axis} must be {expected}"
