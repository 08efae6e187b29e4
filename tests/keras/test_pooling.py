"""3-D pooling as TFLite and the oracle compute it."""

import numpy as np
import pytest

from rnn_deploy.keras.pooling import flat_pooling
from rnn_deploy.keras.tensorflow import tf


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize(
    ("size", "strides"),
    [((1, 2, 2), (1, 2, 2)), (2, 2), ((3, 2, 4), (2, 1, 3)), ([1, 2, 3, 2, 1], [1, 1, 2, 1, 1])],
)
def test_two_poolings_are_one_of_a_box(kind, padding, size, strides):
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 9, 3)).astype(np.float32)
    pool = getattr(tf.nn, f"{kind}_pool")
    whole = pool(x, size, strides, padding)
    with flat_pooling():

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 9, 3))])
        def graph(values):
            return getattr(tf.nn, f"{kind}_pool")(values, size, strides, padding)

        operations = {op.type for op in graph.get_concrete_function().graph.get_operations()}
        assert not {name for name in operations if "3D" in name}
        np.testing.assert_allclose(graph(x), whole, rtol=0, atol=1e-6)
        if isinstance(size, list):
            old = getattr(tf.nn, f"{kind}_pool3d")(x, size, strides, padding)
            np.testing.assert_allclose(old, whole, rtol=0, atol=1e-6)


def test_other_ranks_stay_as_they_are():
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 3)).astype(np.float32)
    whole = tf.nn.max_pool(x, 2, 2, "SAME")
    with flat_pooling():
        assert np.array_equal(tf.nn.max_pool(x, 2, 2, "SAME"), whole)
