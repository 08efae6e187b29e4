"""Convert the user's values to the model's inputs: lists, other dtypes, sequences of any length.

    lists, int64, float64, ... --fitted--> arrays of the model's dtypes, or a list of them per input

A conversion is refused if it loses information: a fraction, a whole number that the dtype cannot
hold exactly, a finite number that would become infinite. Rounding float64 to float32 is allowed,
since the model computes in float32; Keras rounds in the same way.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

Fitted = Array | list[Array]  # a list: sequences of different lengths


def fitted(entry: EntryPoint, feeds: Mapping[str, Any]) -> dict[str, Fitted]:
    """Return feeds in the dtypes of the entry point's inputs and states.

    Sequences of different lengths become a list of arrays. Unknown names, missing inputs and wrong
    shapes are passed on to the runner, which refuses them. Raises InputError if a value does not
    fit.
    """
    tensors = {tensor.name: tensor for tensor in entry.all_inputs}
    return {
        name: _fitted(tensors[name], value) if name in tensors else np.asanyarray(value)
        for name, value in feeds.items()
    }


def one_length(entry: EntryPoint, feeds: Mapping[str, Any]) -> dict[str, Array]:
    """Return feeds as `fitted` does; raise InputError for sequences of different lengths."""
    done: dict[str, Array] = {}
    for name, value in fitted(entry, feeds).items():
        if isinstance(value, list):
            raise InputError(
                "E-INPUT-MIXED",
                f"input '{name}' holds sequences of different lengths, and all sequences of a"
                " stream advance by the same number of steps; use a stream_batch()",
            )
        done[name] = value
    return done


def cast(value: Array, tensor: TensorSpec) -> Array:
    """Return `value` in the dtype of `tensor`; raise InputError if that would lose information."""
    if value.dtype == tensor.dtype or isinstance(value, np.ma.MaskedArray):
        return value  # the runner refuses masked arrays
    if value.dtype.kind not in "fiub":
        raise _no_numbers(tensor, str(value.dtype))
    with np.errstate(invalid="ignore", over="ignore"):  # refused below
        done = value.astype(tensor.dtype)
    lost = _lost(value, done)
    if lost.any():
        index = tuple(int(i) for i in np.argwhere(lost)[0])
        raise InputError(
            "E-INPUT-DTYPE",
            f"input '{tensor.name}' takes {tensor.dtype}, which cannot hold"
            f" {value[index]!s} ({value.dtype}) at {list(index)}; convert the values first",
        )
    return done


def _lost(value: Any, done: Any) -> Any:
    """Return where a conversion changed more than the last digits of a fraction."""
    with np.errstate(invalid="ignore", over="ignore"):
        differs = (done.astype(value.dtype) != value) & ~_is_nan(value)
        differs |= (done < 0) != (value < 0)  # an overflow that the conversion back undoes
    if value.dtype.kind == "f" and done.dtype.kind == "f":
        whole = value == np.round(value)
        return differs & (whole | np.isinf(done) | (done == 0))
    if done.dtype.kind in "iub" and value.dtype.kind == "f":
        differs |= ~np.isfinite(value)
    return differs


def _is_nan(value: Any) -> Any:
    return np.isnan(value) if value.dtype.kind == "f" else np.zeros(value.shape, bool)


def _fitted(tensor: TensorSpec, value: Any) -> Fitted:
    if isinstance(value, np.ndarray) and value.dtype != object:
        return cast(value, tensor)
    if not isinstance(value, list | tuple | np.ndarray):
        return cast(_array(tensor, value), tensor)
    items = [_array(tensor, item) for item in value]
    shapes = dict.fromkeys(item.shape for item in items)
    if len(shapes) < 2:
        return cast(np.stack(items) if items else np.empty((0,)), tensor)
    rest = {shape[1:] for shape in shapes}
    if len(rest) > 1 or any(not shape for shape in shapes):
        raise InputError(
            "E-INPUT-MIXED",
            f"input '{tensor.name}': expected sequences that differ only in their number of steps,"
            f" got the shapes {_listed(list(shapes))}",
        )
    if len(tensor.shape) != len(next(iter(shapes))) + 1:
        raise InputError(
            "E-INPUT-RANK",
            f"expected sequences of the shape ({', '.join(map(str, tensor.shape[1:]))}) as input"
            f" '{tensor.name}', got {_listed(list(shapes))}",
        )
    return [cast(item, tensor) for item in items]


def _array(tensor: TensorSpec, value: Any) -> Array:
    try:
        array = np.asanyarray(value)
    except ValueError as error:  # nested lists of different lengths
        raise _no_numbers(tensor, "nested lists of different lengths") from error
    if array.dtype.kind not in "fiub":
        raise _no_numbers(tensor, f"{array.dtype}: {str(value)[:60]}")
    return array


def _no_numbers(tensor: TensorSpec, found: str) -> InputError:
    return InputError(
        "E-INPUT-DTYPE",
        f"expected numbers, {tensor.dtype}({', '.join(map(str, tensor.shape))}), as input"
        f" '{tensor.name}', got {found}",
    )


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes[:4])) + (", ..." if len(shapes) > 4 else "")
