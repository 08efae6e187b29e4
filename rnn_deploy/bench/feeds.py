"""Made-up inputs of a shape."""

import numpy as np

from rnn_deploy.shapes import Shape
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

USUAL = (Shape(1, 1), Shape(1, 32), Shape(32, 32))


def feeds_of(entry: EntryPoint, shape: Shape) -> dict[str, Array]:
    """Random inputs by name, without states."""
    rng = np.random.default_rng(0)
    return {tensor.name: _values(rng, tensor, entry, shape) for tensor in entry.inputs}


def _values(rng: np.random.Generator, tensor: TensorSpec, entry: EntryPoint, shape: Shape) -> Array:
    times = set(entry.time_symbols)
    sizes = [
        dim if isinstance(dim, int) else shape.time if dim in times else shape.batch
        for dim in tensor.shape
    ]
    whole = np.dtype(tensor.dtype).kind != "f"
    value = rng.integers(0, tensor.below or 2, sizes) if whole else rng.standard_normal(sizes)
    return value.astype(tensor.dtype)
