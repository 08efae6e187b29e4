"""Seeded inputs for a model: normal for floats, ids of the vocabulary for tokens."""

from collections.abc import Mapping, Sequence

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, TensorSpec


def draw(
    tensors: Sequence[TensorSpec], sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, Array]:
    """A value for each tensor, its symbols having `sizes`.

    InputError for an integer input that reaches no Embedding: its range cannot be known.
    """
    return {tensor.name: _padded(tensor, _value(tensor, sizes, rng), rng) for tensor in tensors}


def is_drawable(tensor: TensorSpec) -> bool:
    """Whether values can be made up for a tensor."""
    return tensor.below is not None or np.dtype(tensor.dtype).kind in "fb"


def _padded(tensor: TensorSpec, value: Array, rng: np.random.Generator) -> Array:
    """Steps of padding in the ways they occur: none, right, left, holes, everything."""
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
        f"input '{tensor.name}' is {tensor.dtype} and does not go straight to an Embedding, so no"
        " test inputs can be made up for it; give real ones: --samples FILE.npz"
    )
