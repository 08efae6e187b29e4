"""Layers of Keras 1 become what they mean in Keras 2, or are refused by name."""

import pytest

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.keras2.configuration import corrected
from tests.support.errors import raises
from tests.support.keras2_files import layer


def only_layer(config):
    (one,) = config["config"]["layers"]
    return one


def test_names_of_keras_1_become_those_of_keras_2():
    old = layer(
        "LSTM", "l", output_dim=3, inner_activation="hard_sigmoid", init="glorot_uniform",
        dropout_W=0.1, dropout_U=0.2, consume_less="cpu", W_regularizer=None, input_dim=5,
        input_dtype="float32", batch_input_shape=[None, None, 5],
    )  # fmt: skip
    found = only_layer(
        corrected({"class_name": "Sequential", "config": {"layers": [old]}}, "1.2.0")
    )
    assert found["config"] == {
        "name": "l", "trainable": True, "units": 3, "recurrent_activation": "hard_sigmoid",
        "dropout": 0.1, "recurrent_dropout": 0.2, "dtype": "float32",
        "batch_input_shape": [None, None, 5],
    }  # fmt: skip
    embedding = layer("Embedding", "e", input_dim=9, output_dim=4, input_length=7, init="uniform")
    found = corrected({"class_name": "Sequential", "config": [embedding]}, "1.0.3")["config"][0]
    assert found["config"]["input_dim"] == 9
    assert found["config"]["output_dim"] == 4
    old = layer("TimeDistributedDense", "t", output_dim=2, activation="softmax")
    found = corrected({"class_name": "Sequential", "config": [old]}, "0.3")["config"][0]
    assert found["class_name"] == "TimeDistributed"
    assert found["config"]["layer"]["config"]["units"] == 2


def of_2(kind, **options):
    old = {"class_name": "Sequential", "config": [layer(kind, "l", **options)]}
    found = corrected(old, "1.2.2")["config"][0]
    given = {k: v for k, v in found["config"].items() if k not in ("name", "trainable")}
    return found["class_name"], given


@pytest.mark.parametrize(
    ("kind", "options", "new", "expected"),
    [
        ("Convolution2D", {"nb_filter": 3, "nb_row": 2, "nb_col": 4, "dim_ordering": "th"},
         "Conv2D", {"filters": 3, "kernel_size": [2, 4], "data_format": "channels_first"}),
        ("MaxPooling2D", {"pool_size": [2, 2], "border_mode": "same", "dim_ordering": "tf"},
         "MaxPooling2D", {"pool_size": [2, 2], "padding": "same", "data_format": "channels_last"}),
        ("MaxPooling1D", {"pool_length": 2, "stride": 2}, "MaxPooling1D",
         {"pool_size": 2, "strides": 2}),
        ("UpSampling1D", {"length": 2}, "UpSampling1D", {"size": 2}),
        ("GaussianNoise", {"sigma": 0.1}, "GaussianNoise", {"stddev": 0.1}),
        ("BatchNormalization", {"mode": 0, "axis": -1, "epsilon": 1e-5, "beta_init": "zero"},
         "BatchNormalization", {"axis": -1, "epsilon": 1e-5}),
        ("Merge", {"mode": "concat", "concat_axis": -1, "mode_type": "raw", "dot_axes": -1},
         "Concatenate", {"axis": -1}),
        ("Merge", {"mode": "sum", "mode_type": "raw"}, "Add", {}),
        ("Merge", {"mode": "cos", "mode_type": "raw", "dot_axes": [[1], [2]]}, "Dot",
         {"axes": [1, 2], "normalize": True}),
        ("Embedding", {"input_dim": 9, "output_dim": 4, "dropout": 0.1, "mask_zero": True},
         "Embedding", {"input_dim": 9, "output_dim": 4, "mask_zero": True}),
    ],
)  # fmt: skip
def test_a_layer_of_keras_1(kind, options, new, expected):
    assert of_2(kind, **options) == (new, expected)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("MaxoutDense", {"output_dim": 3}),
        ("BatchNormalization", {"mode": 2}),
        ("Merge", {"mode": "<function>", "mode_type": "function"}),
        ("Merge", {"mode": "concat", "mode_type": "raw", "layers": []}),
    ],
)
def test_what_keras_2_does_not_have_is_refused_by_name(kind, options):
    with raises(UnsupportedModelError, "E-SOURCE-KERAS-1", "'l'", "--model-from"):
        of_2(kind, **options)
