"""Fourier transforms as ONNX gets them."""

import keras
import numpy as np
import pytest

from rnn_deploy.keras.spectra import spectra_as_products
from rnn_deploy.keras.tensorflow import tf

X = np.random.default_rng(0).standard_normal((2, 3, 50)).astype(np.float32)
CALLS = {
    "rfft": lambda x: keras.ops.rfft(x),
    "rfft, cut": lambda x: keras.ops.rfft(x, 32),
    "rfft, padded": lambda x: keras.ops.rfft(x, 65),
    "stft": lambda x: keras.ops.stft(x, 16, 4, 20),
    "stft, no window, from the start": lambda x: keras.ops.stft(
        x, 16, 5, 16, window=None, center=False
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_transform_is_the_same_without_complex_numbers(name):
    expected = CALLS[name](X)

    @tf.function(input_signature=[tf.TensorSpec((None, 3, 50))])
    def graph(x):
        with spectra_as_products():
            return CALLS[name](x)

    types = {
        output.dtype
        for operation in graph.get_concrete_function().graph.get_operations()
        for output in operation.outputs
    }
    assert not [dtype for dtype in types if dtype.is_complex]
    for part, truth in zip(graph(X), expected, strict=True):
        assert part.shape == truth.shape
        np.testing.assert_allclose(part, truth, rtol=0, atol=2e-5)


def test_a_transform_of_an_open_length_stays_as_it_is():
    @tf.function(input_signature=[tf.TensorSpec((2, None))])
    def graph(x):
        with spectra_as_products():
            return keras.ops.rfft(x)

    assert np.allclose(graph(X[0, :2])[0], keras.ops.rfft(X[0, :2])[0], atol=1e-5)
