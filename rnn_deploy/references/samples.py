"""Seeded inputs for a model: normal for floats, ids of the vocabulary for tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, TensorSpec

# The masked steps of three, as bits; the ways that keep the first step come first.
WAYS = np.array([2, 4, 1, 6, 3, 5])


def draw(
    tensors: Sequence[TensorSpec], sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, Array]:
    """Draw a value for each tensor. sizes: the size of each symbol.

    Raises InputError for an integer input without an Embedding, because its range is unknown.
    """
    return {tensor.name: _padded(tensor, _value(tensor, sizes, rng), rng) for tensor in tensors}


def says_mask(tensor: TensorSpec) -> bool:
    """Return whether an input determines the mask: by its padding, or as booleans over time."""
    return len(tensor.shape) > 1 and (tensor.padding is not None or tensor.dtype == "bool")


def unmasked(
    tensors: Sequence[TensorSpec], sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, Array]:
    """Draw values as `draw` does, with no step masked."""
    feeds = draw([replace(tensor, padding=None) for tensor in tensors], sizes, rng)
    for tensor in filter(says_mask, tensors):
        value = feeds[tensor.name]
        if tensor.padding is None:
            value[:] = True
        elif tensor.below is not None:
            value[value == tensor.padding] = tensor.below - 1
    return feeds


def ragged(tensors: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Mask some steps in every row: each row in one of six ways to mask one or two of three."""
    masked = {name: value.copy() for name, value in feeds.items()}
    for shift, tensor in enumerate(filter(says_mask, tensors)):
        value = masked[tensor.name]
        rows, steps = np.ogrid[: value.shape[0], : value.shape[1]]
        ways = WAYS[(rows + shift) % len(WAYS)]
        value[(ways >> steps % 3) % 2 == 1] = False if tensor.padding is None else tensor.padding
    return masked


def is_drawable(tensor: TensorSpec) -> bool:
    """Return whether values can be generated for a tensor."""
    return tensor.below is not None or np.dtype(tensor.dtype).kind in "fb"


def _padded(tensor: TensorSpec, value: Array, rng: np.random.Generator) -> Array:
    """Pad steps in the ways that occur: none, right, left, holes, everything."""
    if tensor.padding is None or value.ndim < 2:
        return value
    batch, time = value.shape[:2]
    places = np.arange(time)
    for row, way in enumerate(rng.permuted(np.arange(max(batch, 5)) % 5)[:batch]):
        cut = rng.integers(0, time + 1)
        patterns = (places < 0, places >= cut, places < cut, rng.random(time) < 0.4, places >= 0)
        value[row, patterns[way]] = tensor.padding
    return value


def _value(tensor: TensorSpec, sizes: Mapping[str, int], rng: np.random.Generator) -> Array:
    shape = [sizes[dim] if isinstance(dim, str) else dim for dim in tensor.shape]
    kind = np.dtype(tensor.dtype).kind
    if tensor.below is not None:
        return rng.integers(0, tensor.below, shape).astype(tensor.dtype)
    if kind == "f":
        return rng.standard_normal(shape).astype(tensor.dtype)
    if kind == "b":
        return rng.integers(0, 2, shape).astype(tensor.dtype)
    raise InputError(
        "E-EXPORT-NEEDS-SAMPLES",
        f"input '{tensor.name}' is {tensor.dtype} and reaches no Embedding directly, so its range"
        " is unknown and no test inputs can be generated; give real ones: --samples FILE.npz",
    )
