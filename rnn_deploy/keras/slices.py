"""Write slices, splits and rolls with operations that TFLite has.

Its converter has no builtin operator for a slice that adds an axis (`x[..., None]`) if a shape is
open, and none for a roll. XNNPACK refuses an int8 split with different ranges in its parts if the
batch is fixed, but accepts slices.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rnn_deploy.keras import compat
from rnn_deploy.keras.tensorflow import tf


@contextmanager
def slicing_for_tflite() -> Iterator[None]:
    """While open, slices add no axes, and rolls are gathers."""
    with (
        compat.replaced(*compat.STRIDED_SLICE, _without_new_axes(getattr(*compat.STRIDED_SLICE))),
        compat.replaced(tf, "roll", _roll),
    ):
        yield


@contextmanager
def splitting_into_slices(wanted: bool) -> Iterator[None]:
    """While open, and if `wanted`, a split into equal parts is written as slices."""
    if not wanted:
        yield
        return
    with compat.replaced(tf, "split", _as_slices(tf.split)):
        yield


def _without_new_axes(original: Callable[..., Any]) -> Callable[..., Any]:
    def strided_slice(
        input: Any,
        begin: Any,
        end: Any,
        strides: Any,
        begin_mask: int = 0,
        end_mask: int = 0,
        ellipsis_mask: int = 0,
        new_axis_mask: int = 0,
        shrink_axis_mask: int = 0,
        name: str | None = None,
    ) -> Any:
        bounds = [tf.convert_to_tensor(part) for part in (begin, end, strides)]
        count, rank = bounds[0].shape[0], tf.convert_to_tensor(input).shape.rank
        new = [i for i in range(count or 0) if _bit(new_axis_mask & ~ellipsis_mask, i)]
        if not new or rank is None:
            return original(
                input, begin, end, strides, begin_mask, end_mask,
                ellipsis_mask, new_axis_mask, shrink_axis_mask, name,
            )  # fmt: skip
        kept = [i for i in range(count) if i not in new]
        masks = (begin_mask, end_mask, ellipsis_mask, 0, shrink_axis_mask)
        output = input
        if kept:
            parts = [_chosen(part, kept) for part in bounds]
            output = original(input, *parts, *(_packed(mask, kept) for mask in masks), name)
        sliced = sum(not _bit(ellipsis_mask, i) for i in kept)
        place = 0
        for i in range(count):
            if _bit(ellipsis_mask, i):
                place += rank - sliced
            elif i in new:
                output = tf.expand_dims(output, place)
                place += 1
            elif not _bit(shrink_axis_mask, i):
                place += 1
        return output

    return strided_slice


def _bit(mask: int, index: int) -> bool:
    return bool(mask >> index & 1)


def _packed(mask: int, kept: Sequence[int]) -> int:
    return sum(_bit(mask, old) << new for new, old in enumerate(kept))


def _chosen(bounds: Any, kept: Sequence[int]) -> Any:
    known = tf.get_static_value(bounds)
    return tf.gather(bounds, kept) if known is None else tf.constant(known[list(kept)])


def _roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Any:
    output = tf.convert_to_tensor(input)
    shifts, axes = (part if isinstance(part, list | tuple) else [part] for part in (shift, axis))
    for by, along in zip(shifts, axes, strict=True):
        steps = tf.shape(output)[along]
        places = tf.math.floormod(tf.range(steps) - by, steps)
        shape = output.shape
        output = tf.gather(output, places, axis=along)
        output.set_shape(shape)
    return output


def _as_slices(original: Callable[..., Any]) -> Callable[..., Any]:
    def split(
        value: Any, num_or_size_splits: Any, axis: int = 0, num: Any = None, name: str | None = None
    ) -> Any:
        value = tf.convert_to_tensor(value)
        size = None if value.shape.rank is None else value.shape[axis]
        if not isinstance(num_or_size_splits, int) or size is None:
            return original(value, num_or_size_splits, axis, num, name)
        width = size // num_or_size_splits
        before = (slice(None),) * (axis % value.shape.rank)
        return [
            value[(*before, slice(k * width, (k + 1) * width))] for k in range(num_or_size_splits)
        ]

    return split
