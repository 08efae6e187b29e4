"""Convert configurations of models that Keras 1 and 2 wrote to the form that tf_keras understands.

Only JSON: nothing is imported and no code of the file runs. The changes:

- constraints, regularisers and initialisers are removed: they have no effect in a trained model,
  and their classes may be unknown;
- a GRU without `reset_after` has False, as in Keras up to 2.2 (tf_keras assumes True);
- CuDNNLSTM and CuDNNGRU become LSTM and GRU, whose weights tf_keras converts;
- a Sequential model without an input shape gets one from its first weights;
- spellings of Keras 3 become those of Keras 2 in a file with an older version number: some
  converters keep the version of the file that they read;
- names and arguments of Keras 1 become those of Keras 2 (keras1).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rnn_deploy.keras.keras2.keras1 import from_keras_1

Config = dict[str, Any]
_CUDNN = {
    "CuDNNLSTM": ("LSTM", {}),
    "CuDNNGRU": ("GRU", {"reset_after": True}),
}
_CUDNN_OPTIONS = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional")
_SAME_SHAPE = ("Masking", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout",
               "Activation", "ReLU", "LeakyReLU")  # fmt: skip
_ONLY_FOR_TRAINING = ("_constraint", "_regularizer", "_initializer")


def corrected(model: Config, version: str) -> Config:
    """Return a model's configuration, {class_name, config}, as tf_keras understands it.

    version: of the Keras that wrote it, "" if the file has none (Keras 1 before 1.1).
    """
    if version[:2] in ("", "0.", "1."):
        model = from_keras_1(model)
    return _corrected(model)


def unknown_training_classes(config: Any, known: Callable[[str, str], bool]) -> Iterator[str]:
    """Yield the unknown classes of constraints, regularisers and initialisers.

    known: returns whether Keras has a class, by kind ("constraint", ...) and name.
    """
    for key, value in _items(config):
        ending = next((e for e in _ONLY_FOR_TRAINING if str(key).endswith(e)), None)
        name = value.get("class_name") if isinstance(value, dict) else value
        if ending is None:
            yield from unknown_training_classes(value, known)
        elif isinstance(name, str) and not known(ending[1:], name):
            yield name


def class_names(config: Any) -> Iterator[str]:
    """Yield the name of every class in a configuration, including layers inside layers."""
    if isinstance(config, dict) and isinstance(config.get("class_name"), str):
        yield config["class_name"]
    for _, value in _items(config):
        yield from class_names(value)


def foreign_modules(config: Any) -> Iterator[tuple[str, str]]:
    """Yield (module, class) of everything outside Keras in a .keras configuration."""
    if (
        isinstance(config, dict)
        and "class_name" in config
        and isinstance(config.get("module"), str)
    ):
        module = config["module"]
        if module.partition(".")[0] not in ("keras", "tf_keras", "builtins"):
            yield module, str(config.get("registered_name") or config.get("class_name"))
    for _, value in _items(config):
        yield from foreign_modules(value)


def with_input_shape(model: Config, shapes: Mapping[str, list[tuple[int, ...]]]) -> Config | None:
    """Return a Sequential configuration whose first layer has an input shape.

    shapes: the shapes of each layer's weights, by the layer's name.

    Returns the configuration unchanged if it has a shape, None if the weights determine none.
    """
    layers = _layers_of(model)
    if model["class_name"] != "Sequential" or not layers:
        return model
    first = layers[0]
    known = ("batch_input_shape", "batch_shape", "input_shape")
    nested = first["class_name"] in ("Sequential", "Model", "Functional")
    if nested or any(key in first["config"] for key in known):
        return model
    if isinstance(model["config"], dict) and model["config"].get("build_input_shape"):
        return model
    shape = _input_shape(layers, shapes)
    if shape is None:
        return None
    first = first | {"config": first["config"] | {"batch_input_shape": shape}}
    config = model["config"]
    layers = [first, *layers[1:]]
    return model | {"config": config | {"layers": layers} if isinstance(config, dict) else layers}


def _input_shape(
    layers: list[Config], shapes: Mapping[str, list[tuple[int, ...]]]
) -> list[int | None] | None:
    """Return the input shape that the first weights determine, or None."""
    first = next((layer for layer in layers if layer["class_name"] not in _SAME_SHAPE), None)
    if first is None:
        return None
    kind, weights = first["class_name"], shapes.get(first["config"]["name"], [])
    if kind == "Embedding":
        return [None, None]
    if kind == "TimeDistributed":
        kind = first["config"]["layer"]["class_name"]
        each = None if not weights else _shape_of_one(kind, weights[0])
        return each and [None, *each]
    if not weights:
        return None
    if kind in _RECURRENT:
        return [None, None, weights[0][0]]
    each = _shape_of_one(kind, weights[0])
    if each is not None and kind in ("Dense", "BatchNormalization"):
        following = (layer["class_name"] for layer in layers[layers.index(first) + 1 :])
        kinds = (kind for kind in following if kind not in (*_SAME_SHAPE, "Dense"))
        return [None, *each] if next(kinds, None) in (*_RECURRENT, "TimeDistributed") else each
    return each


def _shape_of_one(kind: str, kernel: tuple[int, ...]) -> list[int | None] | None:
    """Return the input shape of a layer, from its first weight."""
    if kind in ("Dense", "BatchNormalization"):
        return [None, kernel[0]]
    if kind in ("Conv1D", "SeparableConv1D"):
        return [None, None, kernel[-2]]
    if kind in ("Conv2D", "SeparableConv2D"):
        return [None, None, None, kernel[-2]]
    if kind == "ConvLSTM2D":
        return [None, None, None, None, kernel[-2]]
    return None


def _layers_of(model: Config) -> list[Config]:
    config = model["config"]
    return list(config if isinstance(config, list) else config.get("layers", []))


def _corrected(config: Any) -> Any:
    if isinstance(config, list):
        return [_corrected(part) for part in config]
    if not isinstance(config, dict):
        return config
    new = {
        key: None if str(key).endswith(_ONLY_FOR_TRAINING[:2]) else _corrected(value)
        for key, value in config.items()
        if not str(key).endswith(_ONLY_FOR_TRAINING[2])
    }
    kind = new.get("class_name")
    options = new.get("config")
    if kind == "DTypePolicy" and isinstance(options, dict):
        return options.get("name")
    if isinstance(kind, str) and isinstance(options, dict):
        new["class_name"], new["config"] = _corrected_layer(kind, options)
    return new


def _corrected_layer(kind: str, config: Config) -> tuple[str, Config]:
    if kind == "InputLayer" and "batch_shape" in config:
        renamed = {"batch_input_shape": config["batch_shape"]} | config
        config = {key: value for key, value in renamed.items() if key != "batch_shape"}
    if kind in _RECURRENT and "units" in config:
        config = {key: value for key, value in config.items() if key != "seed"}
    if kind in _CUDNN:
        kind, options = _CUDNN[kind]
        return kind, _CUDNN_OPTIONS | config | options
    if kind in ("GRU", "GRUCell") and "reset_after" not in config and "units" in config:
        return kind, config | {"reset_after": False}
    return kind, config


def _items(config: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(config, dict):
        yield from config.items()
    elif isinstance(config, list | tuple):
        yield from enumerate(config)
