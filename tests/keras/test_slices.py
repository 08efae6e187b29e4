"""Slices, splits and rolls as TFLite gets them."""

import numpy as np
import pytest
import tensorflow as tf

from rnn_deploy.keras.slices import slicing_for_tflite, splitting_into_slices

X = np.random.default_rng(8).standard_normal((3, 5, 4)).astype("f")
SLICES = {
    "behind": lambda x: x[..., None],
    "before": lambda x: x[None],
    "within": lambda x: x[:, None, 1:-1:2],
    "several": lambda x: x[:, tf.newaxis, ..., ::-1, None],
    "with a step taken": lambda x: x[:, 1, None, 1:],
    "by tensors": lambda x: x[:, tf.shape(x)[2] - 2 :, None],
    "none new": lambda x: x[1:, ..., -1],
}
ROLLS = {
    "one": lambda x: tf.roll(x, 1, 1),
    "back": lambda x: tf.roll(x, -7, -1),
    "two": lambda x: tf.roll(x, (1, 2), (1, 2)),
}


def traced(function):
    spec = tf.TensorSpec([None, None, 4], tf.float32)
    return tf.function(function, autograph=False).get_concrete_function(spec)


def operations_of(graph):
    return [
        op for op in graph.graph.get_operations() if op.type in ("StridedSlice", "Roll", "Split")
    ]


@pytest.mark.parametrize("name", [*SLICES, *ROLLS])
def test_slices_and_rolls_keep_their_values(name):
    function = {**SLICES, **ROLLS}[name]
    plain = traced(function)
    with slicing_for_tflite():
        graph = traced(function)
    np.testing.assert_array_equal(graph(tf.constant(X)), plain(tf.constant(X)))
    assert graph.outputs[0].shape.as_list() == plain.outputs[0].shape.as_list()
    for op in operations_of(graph):
        assert op.type == "StridedSlice"
        assert not op.get_attr("new_axis_mask")


def test_a_split_into_equal_parts_is_slices_on_request():
    def split(x):
        return [*tf.split(x, 2, axis=-1), *tf.split(x, [1, 3], axis=2)]

    with splitting_into_slices(True):
        graph = traced(split)
    for found, expected in zip(graph(tf.constant(X)), split(tf.constant(X)), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [op.type for op in operations_of(graph)].count("StridedSlice") == 2
    with splitting_into_slices(False):
        kinds = [op.type for op in operations_of(traced(lambda x: tf.split(x, 2, axis=-1)))]
    assert kinds == ["Split"]
