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
    return {tensor.name: _value(tensor, sizes, rng) for tensor in tensors}


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
        f"input '{tensor.name}' is {tensor.dtype} and reaches no Embedding, so no test inputs can"
        " be made up for it; give real ones: --samples FILE.npz"
    )
