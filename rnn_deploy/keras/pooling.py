"""3-D pooling as two 2-D poolings: within each frame, then along time.

TFLite has no 3-D pooling, and TensorFlow has none in float64.

The maximum or mean over a box is the one over its frames and then along time. This holds with
padding too: a mean counts only elements inside, and their number is the product of both counts.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rnn_deploy.keras import compat
from rnn_deploy.keras.tensorflow import tf

_NAMES = ("max_pool", "avg_pool", "max_pool3d", "avg_pool3d")
_LAYOUTS = (None, "NDHWC")


@contextmanager
def flat_pooling() -> Iterator[None]:
    """While open, 3-D pooling is two 2-D poolings."""
    with ExitStack() as stack:
        for name in _NAMES:
            replacement = _in_two(getattr(tf.nn, name), getattr(tf.nn, f"{name[:3]}_pool2d"))
            stack.enter_context(compat.replaced(tf.nn, name, replacement))
        yield


def _in_two(original: Callable[..., Any], pool: Callable[..., Any]) -> Callable[..., Any]:
    def pooled(
        input: Any,
        ksize: Any,
        strides: Any,
        padding: Any,
        data_format: str | None = None,
        name: str | None = None,
    ) -> Any:
        plain = isinstance(padding, str) and data_format in _LAYOUTS
        if tf.convert_to_tensor(input).shape.rank != 5 or not plain:
            return original(input, ksize, strides, padding, data_format, name)
        (depth, *frame), (along, *across) = _spatial(ksize), _spatial(strides)
        n, d, h, w, c = _sizes(input)
        frames = pool(tf.reshape(input, [-1, h, w, c]), frame, across, padding)
        _, h, w, _ = _sizes(frames)
        columns = tf.reshape(frames, [n, d, h * w, c])
        pooled = pool(columns, [depth, 1], [along, 1], padding)
        return tf.reshape(pooled, [n, _sizes(pooled)[1], h, w, c])

    return pooled


def _spatial(sizes: Any) -> list[int]:
    """Return three sizes from an argument with one, three or five."""
    given = [sizes] if isinstance(sizes, int) else list(sizes)
    return given * 3 if len(given) == 1 else given[1:4] if len(given) == 5 else given


def _sizes(tensor: Any) -> list[Any]:
    dynamic = tf.shape(tensor)
    return [dynamic[i] if size is None else size for i, size in enumerate(tensor.shape)]
