"""Configurations of old files become what they mean to tf_keras; nothing else changes."""

import copy

import pytest

from rnn_deploy.keras.keras2.configuration import (
    class_names,
    corrected,
    foreign_modules,
    unknown_training_classes,
    with_input_shape,
)
from tests.support.keras2_files import gates, layer


def model(*layers, **options):
    return {"class_name": "Sequential", "config": {"name": "m", "layers": list(layers), **options}}


def only_layer(config):
    (one,) = config["config"]["layers"]
    return one


@pytest.mark.parametrize("version", ["2.0.8", "2.2.4", "2.15.0"])
def test_a_gru_that_does_not_say_has_no_reset_after(version):
    silent = corrected(model(layer("GRU", "g", units=3)), version)
    assert only_layer(silent)["config"]["reset_after"] is False
    told = corrected(model(layer("GRU", "g", units=3, reset_after=True)), version)
    assert only_layer(told)["config"]["reset_after"] is True


@pytest.mark.parametrize(
    ("kind", "becomes", "reset"), [("CuDNNLSTM", "LSTM", None), ("CuDNNGRU", "GRU", True)]
)
def test_a_cudnn_layer_is_the_usual_one_also_within_another(kind, becomes, reset):
    inner = layer(kind, "inner", units=3, return_sequences=True)
    outer = corrected(model(layer("Bidirectional", "both", layer=inner)), "2.2.4")
    found = only_layer(outer)["config"]["layer"]
    assert found["class_name"] == becomes
    assert found["config"]["recurrent_activation"] == "sigmoid"
    assert found["config"]["activation"] == "tanh"
    assert found["config"].get("reset_after") is reset
    assert found["config"]["return_sequences"] is True


def test_spellings_of_keras_3_become_those_of_keras_2():
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float16"}}
    first = layer("InputLayer", "x", batch_shape=[None, 5, 3], dtype=policy)
    config = only_layer(corrected(model(first), "2.2.4"))["config"]
    assert (config["batch_input_shape"], config["dtype"]) == ([None, 5, 3], "float16")
    assert "batch_shape" not in config
    seeded = layer("GRU", "g", units=3, reset_after=True, seed=None)
    assert "seed" not in only_layer(corrected(model(seeded), "2.2.4"))["config"]


def test_what_is_only_for_training_goes():
    own = {"class_name": "MyClip", "config": {"c": 0.5}}
    config = model(
        layer("LSTM", "l", units=3, kernel_constraint=own, bias_regularizer=own,
              kernel_initializer=own, activity_regularizer=own)
    )  # fmt: skip
    known = lambda kind, name: name != "MyClip"  # noqa: E731
    assert set(unknown_training_classes(config, known)) == {"MyClip"}
    found = only_layer(corrected(config, "2.3.1"))["config"]
    assert "MyClip" not in str(found)
    assert found["units"] == 3


def test_the_configuration_given_is_not_changed():
    config = model(layer("GRU", "g", units=3, kernel_constraint={"class_name": "X"}))
    before = copy.deepcopy(config)
    corrected(config, "2.2.4")
    assert config == before


@pytest.mark.parametrize(
    ("first", "shapes", "expected"),
    [
        (layer("LSTM", "l", **gates(units=3)), [(5, 12), (3, 12), (12,)], [None, None, 5]),
        (layer("Embedding", "l", input_dim=9), [(9, 4)], [None, None]),
        (layer("Conv1D", "l", filters=3), [(2, 6, 3), (3,)], [None, None, 6]),
        (layer("Dense", "l", units=3), [(6, 3), (3,)], [None, 6]),
        (layer("ConvLSTM2D", "l", filters=3), [(3, 3, 2, 12)], [None, None, None, None, 2]),
        (
            layer("TimeDistributed", "l", layer=layer("Conv2D", "c")),
            [(3, 3, 2, 4)],
            [None, None, None, None, 2],
        ),
    ],
)
def test_a_missing_input_shape_follows_from_the_first_weights(first, shapes, expected):
    found = with_input_shape(model(first), {"l": shapes})
    assert only_layer(found)["config"]["batch_input_shape"] == expected


@pytest.mark.parametrize(
    ("second", "expected"), [("LSTM", [None, None, 6]), ("Flatten", [None, 6])]
)
def test_dense_before_a_recurrent_layer_takes_a_sequence(second, expected):
    layers = (layer("Dropout", "d"), layer("Dense", "l", units=3), layer(second, "s"))
    found = with_input_shape(model(*layers), {"l": [(6, 3), (3,)]})
    assert found["config"]["layers"][0]["config"]["batch_input_shape"] == expected


def test_a_shape_that_is_there_stays_and_one_that_cannot_be_known_is_none():
    shaped = model(layer("LSTM", "l", units=3, batch_input_shape=[2, 7, 5]))
    assert with_input_shape(shaped, {}) is shaped
    built = model(layer("LSTM", "l", units=3), build_input_shape=[None, 7, 5])
    assert with_input_shape(built, {}) is built
    assert with_input_shape(model(layer("Own", "l")), {"l": [(3, 4)]}) is None
    assert with_input_shape(model(layer("LSTM", "l", units=3)), {}) is None


def test_code_and_foreign_modules_are_found_at_any_depth():
    inner = layer("Bidirectional", "b", layer=layer("Lambda", "x", function="..."))
    assert "Lambda" in set(class_names(model(inner)))
    own = layer("Own", "o") | {"module": "os.path", "registered_name": "mine>Own"}
    usual = layer("LSTM", "l", units=3) | {"module": "keras.src.layers.rnn.lstm"}
    assert list(foreign_modules(model(usual, layer("Wrapper", "w", layer=own)))) == [
        ("os.path", "mine>Own")
    ]
