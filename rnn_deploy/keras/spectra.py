"""Fourier transforms as matrix products, since ONNX has no complex numbers.

Keras' `rfft` and `stft` return a real and an imaginary part; TensorFlow computes them through one
complex tensor. As products, a transform of n values costs n * (n / 2 + 1) * 2 multiplications.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnn_deploy.keras import compat
from rnn_deploy.keras.tensorflow import keras, tf


@contextmanager
def spectra_as_products() -> Iterator[None]:
    """While open, `keras.ops.rfft` and `keras.ops.stft` are products with constant matrices."""
    math = compat.backend_math
    with (
        compat.replaced(math, "rfft", _rfft(math.rfft)),
        compat.replaced(math, "stft", _stft(math.stft)),
    ):
        yield


def _rfft(original: Callable[..., Any]) -> Callable[..., Any]:
    def rfft(x: Any, fft_length: int | None = None) -> Any:
        x = keras.ops.convert_to_tensor(x)
        length = x.shape[-1] if fft_length is None else fft_length
        return original(x, fft_length) if length is None else transformed(x, length)

    return rfft


def _stft(original: Callable[..., Any]) -> Callable[..., Any]:
    def stft(*args: Any, **options: Any) -> Any:
        with (
            compat.replaced(tf.signal, "stft", _frames_transformed),
            compat.replaced(tf.math, "real", lambda parts: parts[0]),
            compat.replaced(tf.math, "imag", lambda parts: parts[1]),
        ):
            return original(*args, **options)

    return stft


def _frames_transformed(
    signals: Any, frame_length: int, frame_step: int, fft_length: int, window_fn: Any
) -> tuple[Any, Any]:
    frames = tf.signal.frame(signals, frame_length, frame_step)
    if window_fn is not None:
        frames = frames * window_fn(frame_step, frames.dtype)
    return transformed(frames, fft_length)


def transformed(x: Any, length: int) -> tuple[Any, Any]:
    """Return the real and the imaginary part of the transform of the last axis of a tensor.

    x: (..., values), cut or padded with zeros to `length`. Both parts: (..., length // 2 + 1).
    """
    given = x.shape[-1]
    taken = length if given is None else min(given, length)
    # Angles modulo whole turns, so that those of long transforms are exact.
    turns = np.outer(np.arange(taken), np.arange(length // 2 + 1)) % length / length
    x = x[..., :taken]
    parts = (np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns))
    real, imaginary = (tf.matmul(x, tf.constant(part, x.dtype)) for part in parts)
    return real, imaginary
