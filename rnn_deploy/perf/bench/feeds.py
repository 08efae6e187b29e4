"""Random inputs of a shape."""

from collections.abc import Mapping

import numpy as np

from rnn_deploy.spec import Array, EntryPoint, TensorSpec
from rnn_deploy.spec.shapes import Shape

MOST_BYTES, MOST = 1 << 20, 16  # the most bytes and the most variations of an input
USUAL = (Shape(1, 1), Shape(1, 32), Shape(32, 32))


def feeds_of(entry: EntryPoint, shape: Shape) -> dict[str, Array]:
    """Return random inputs by name, without states."""
    rng = np.random.default_rng(0)
    return {tensor.name: _values(rng, tensor, entry, shape) for tensor in entry.inputs}


def varied(feeds: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Return the feeds and variations with the same values in other places.

    A processor that sees the same numbers again predicts every branch. ONNX Runtime's operator RNN
    has a branch in every tanh: 100 steps of new numbers take up to 1.5 times as long.
    """
    rng = np.random.default_rng(0)
    size = sum(value.nbytes for value in feeds.values())
    others = min(MOST, MOST_BYTES // max(1, size)) - 1
    places = {name: value.ravel() for name, value in feeds.items()}
    return [
        dict(feeds),
        *(
            {name: rng.permutation(v).reshape(feeds[name].shape) for name, v in places.items()}
            for _ in range(others)
        ),
    ]


def _values(rng: np.random.Generator, tensor: TensorSpec, entry: EntryPoint, shape: Shape) -> Array:
    times = set(entry.time_symbols)
    sizes = [
        dim if isinstance(dim, int) else shape.time if dim in times else shape.batch
        for dim in tensor.shape
    ]
    whole = np.dtype(tensor.dtype).kind != "f"
    value = rng.integers(0, tensor.below or 2, sizes) if whole else rng.standard_normal(sizes)
    return value.astype(tensor.dtype)
