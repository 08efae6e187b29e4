"""Check the inputs of a call before a runtime sees them.

Runtimes handle a wrong shape differently: some refuse it, some abort the process, some compute
something else. Here every input either fits the entry point exactly or is an InputError. The first
check prepares the runner; after that a call costs a few microseconds.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from rnn_deploy.errors import ClosedError, InputError, one_line
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

Check = Callable[[Mapping[str, Array]], list[Array]]
Kind = tuple[tuple[int, ...], np.dtype[Any]] | None


def checker(entry: EntryPoint) -> Check:
    """Return a function from feeds by name to arrays in the order of `entry.all_inputs`.

    Arrays with the shapes and dtypes of the last call that passed are accepted at once.
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
                raise _mismatch(tensor, array)
            if type(array) is not np.ndarray:
                array = _without_subclass(tensor, array)
            shape = array.shape
            for axis, dim in axes:
                size = shape[axis]
                expected = dim if isinstance(dim, int) else sizes.setdefault(dim, size)
                if size != expected or size == 0:
                    raise _wrong_size(tensor, array, axis, expected)
            arrays.append(array)
        passed = [_kind(array) for array in arrays]
        return arrays

    return check


def closed(_: object) -> NoReturn:
    """Replace a closed runner's check, or the function that would load the runner again."""
    raise ClosedError("E-RUNTIME-CLOSED", "this model is closed; load the bundle again")


def _kind(array: Array) -> Kind:
    return (array.shape, array.dtype) if type(array) is np.ndarray else None


def check_vocabulary(entry: EntryPoint, feeds: Mapping[str, Array]) -> None:
    """Raise InputError if token ids in `feeds` are outside the vocabulary.

    Runtimes would wrap them into the range, or read memory of something else.
    """
    for tensor in entry.inputs:
        if tensor.below is None:
            continue
        value = feeds[tensor.name]
        low, high = value.min(), value.max()
        if low < -tensor.below or high >= tensor.below:
            raise InputError(
                "E-INPUT-VOCABULARY",
                f"expected ids from 0 to {tensor.below - 1} in input '{tensor.name}', got"
                f" {low if low < -tensor.below else high}",
            )


def refused_by(runtime: str, error: Exception) -> InputError:
    """Return the error for inputs that passed the check and that the runtime refused."""
    return InputError("E-INPUT-REFUSED", f"{runtime} refused the inputs: {one_line(error)}")


def not_finite(feeds: Mapping[str, Array]) -> list[str]:
    """Return the names of the feeds that contain NaN or infinities."""
    floats = (name for name, value in feeds.items() if value.dtype.kind == "f")
    return [name for name in floats if not np.isfinite(feeds[name]).all()]


def zero_states(entry: EntryPoint, batch: int) -> dict[str, Array]:
    """Return initial states of zero for `batch` sequences, by input name."""
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
        faults = [f"unknown {', '.join(map(repr, unknown))}"] if unknown else []
        faults += [f"missing {', '.join(map(repr, missing))}"] if missing else []
        raise InputError(
            "E-INPUT-UNKNOWN" if unknown else "E-INPUT-MISSING",
            f"inputs of '{entry.name}': {', '.join(faults)}; expected"
            f" {'; '.join(map(str, entry.all_inputs))}",
        )
    first = feeds[required[0]]
    batch = first.shape[0] if isinstance(first, np.ndarray) and first.ndim else 1
    return {**zero_states(entry, batch), **feeds}


def _without_subclass(tensor: TensorSpec, array: Array) -> Array:
    """Return a plain array; raise InputError for a masked one, since its mask would be lost."""
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(
            "E-INPUT-MASKED-ARRAY",
            f"input '{tensor.name}' is a NumPy masked array, and no runtime sees its mask; fill it"
            " with the model's padding value, for instance x.filled(0)",
        )
    return np.asarray(array)


def _mismatch(tensor: TensorSpec, array: object) -> InputError:
    expected = f"expected {_spelled(tensor)} as input '{tensor.name}'"
    if not isinstance(array, np.ndarray):
        kind = type(array).__name__
        return InputError("E-INPUT-NOT-AN-ARRAY", f"{expected}, got {kind}; give a NumPy array")
    if array.ndim != len(tensor.shape):
        message = f"{expected}, got {array.ndim} dimensions {array.shape}"
        if array.ndim == len(tensor.shape) - 1:
            message += "; a single sequence needs a batch axis too: x[None]"
        return InputError("E-INPUT-RANK", message)
    message = f"{expected}, got {array.dtype}; convert it: np.asarray(x, '{tensor.dtype}')"
    return InputError("E-INPUT-DTYPE", message)


def _wrong_size(tensor: TensorSpec, array: Array, axis: int, expected: int) -> InputError:
    message = f"expected {_spelled(tensor)} as input '{tensor.name}', got {array.shape}"
    dim = tensor.shape[axis]
    if array.shape[axis] == 0:
        return InputError("E-INPUT-EMPTY", f"{message}: axis {axis} is empty")
    reason = f"axis {axis} must be {expected}"
    if isinstance(dim, str):
        reason = f"'{dim}' is {expected} in the inputs before it"
    return InputError("E-INPUT-SHAPE", f"{message}: {reason}")


def _spelled(tensor: TensorSpec) -> str:
    return f"{tensor.dtype}({', '.join(map(str, tensor.shape))})"
