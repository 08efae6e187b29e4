"""Configurations of models as Keras 1 and 2 wrote them, as tf_keras understands them.

Only JSON: nothing is imported and no code of the file runs. What changes:

- constraints, regularisers and initialisers go: they have no meaning in a trained model, and their
  classes may be unknown;
- a GRU without `reset_after` has False, as in Keras up to 2.2 (tf_keras assumes True);
- CuDNNLSTM and CuDNNGRU become LSTM and GRU, whose weights tf_keras converts;
- a Sequential model that was never given an input shape gets one from its first weights;
- names and arguments of Keras 1 become those of Keras 2.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Config = dict[str, Any]
_CUDNN = {
    "CuDNNLSTM": ("LSTM", {}),
    "CuDNNGRU": ("GRU", {"reset_after": True}),
}
_CUDNN_OPTIONS = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
_ONLY_FOR_TRAINING = ("_constraint", "_regularizer", "_initializer")
_RENAMED_CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "AtrousConvolution1D": "Conv1D",
    "Deconvolution2D": "Conv2DTranspose",
}
_RENAMED = {
    "bias": "use_bias",
    "border_mode": "padding",
    "atrous_rate": "dilation_rate",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "input_dtype": "dtype",
    "nb_filter": "filters",
    "p": "rate",
    "pool_length": "pool_size",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
_GONE = (
    *("consume_less", "init", "inner_init", "forget_bias_init", "input_dim", "input_length"),
    *("W_regularizer", "U_regularizer", "b_regularizer", "W_constraint", "U_constraint"),
    *("b_constraint", "W_learning_rate_multiplier", "b_learning_rate_multiplier", "weights"),
    "dim_ordering",
)


def corrected(model: Config, version: str) -> Config:
    """Return a model's configuration, {class_name, config}, as tf_keras understands it.

    version: the Keras that wrote it, "" if the file does not say (Keras 1 before 1.1).
    """
    if version[:2] in ("", "0.", "1."):
        model = _from_keras_1(model)
    return _corrected(model)


def unknown_training_classes(config: Any, known: Callable[[str, str], bool]) -> Iterator[str]:
    """Yield the classes of constraints, regularisers and initialisers that are not known.

    known: whether Keras has a class, by kind ("constraint", ...) and name.
    """
    for key, value in _items(config):
        ending = next((e for e in _ONLY_FOR_TRAINING if str(key).endswith(e)), None)
        name = value.get("class_name") if isinstance(value, dict) else value
        if ending is None:
            yield from unknown_training_classes(value, known)
        elif isinstance(name, str) and not known(ending[1:], name):
            yield name


def class_names(config: Any) -> Iterator[str]:
    """Yield the name of every class in a configuration, layers within layers included."""
    if isinstance(config, dict) and isinstance(config.get("class_name"), str):
        yield config["class_name"]
    for _, value in _items(config):
        yield from class_names(value)


def foreign_modules(config: Any) -> Iterator[tuple[str, str]]:
    """Yield (module, class) of everything that is no part of Keras, in a .keras configuration."""
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

    shapes: those of each layer's weights, by the layer's name.

    Returns the configuration itself if it has a shape, None if none follows from the weights.
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
    shape = _input_shape(first, shapes.get(first["config"]["name"], []))
    if shape is None:
        return None
    first = first | {"config": first["config"] | {"batch_input_shape": shape}}
    config = model["config"]
    layers = [first, *layers[1:]]
    return model | {"config": config | {"layers": layers} if isinstance(config, dict) else layers}


def _input_shape(layer: Config, weights: list[tuple[int, ...]]) -> list[int | None] | None:
    kind = layer["class_name"]
    if kind == "Embedding":
        return [None, None]
    if not weights:
        return None
    kernel = weights[0]
    if kind in ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"):
        return [None, None, kernel[0]]
    if kind == "Conv1D":
        return [None, None, kernel[1]]
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
    if isinstance(kind, str) and isinstance(options, dict):
        new["class_name"], new["config"] = _corrected_layer(kind, options)
    return new


def _corrected_layer(kind: str, config: Config) -> tuple[str, Config]:
    if kind in _CUDNN:
        kind, options = _CUDNN[kind]
        return kind, _CUDNN_OPTIONS | config | options
    if kind in ("GRU", "GRUCell") and "reset_after" not in config and "units" in config:
        return kind, config | {"reset_after": False}
    return kind, config


def _from_keras_1(config: Any) -> Any:
    if isinstance(config, list):
        return [_from_keras_1(part) for part in config]
    if not isinstance(config, dict):
        return config
    new = {key: _from_keras_1(value) for key, value in config.items()}
    kind = new.get("class_name")
    if not isinstance(kind, str) or not isinstance(new.get("config"), dict):
        return new
    options = new["config"]
    if "layers" in options:  # a model
        return new
    if kind != "TimeDistributedDense":
        renamed = _RENAMED_CLASSES.get(kind, kind)
        return {**new, "class_name": renamed, "config": _options_of_2(kind, options)}
    outside = ("name", "batch_input_shape", "trainable")
    inside = {key: value for key, value in options.items() if key not in outside}
    dense = {"class_name": "Dense", "config": inside | {"name": f"{options['name']}_dense"}}
    shape = {key: options[key] for key in outside if key in options}
    new["class_name"] = "TimeDistributed"
    return new | {"config": shape | {"layer": _from_keras_1(dense)}}


def _options_of_2(kind: str, options: Config) -> Config:
    """The arguments of one layer of Keras 1 under the names of Keras 2."""
    kept = options.items()
    if kind == "Embedding":
        return {k: v for k, v in kept if k not in _GONE or k == "input_dim"} | {
            k: v for k, v in kept if k == "input_length"
        }
    new = {_RENAMED.get(k, k): v for k, v in kept if k not in _GONE}
    if "output_dim" in new:
        new["units"] = new.pop("output_dim")
    if kind in ("Convolution2D",) and "nb_row" in new:
        new["kernel_size"] = [new.pop("nb_row"), new.pop("nb_col")]
    return new


def _items(config: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(config, dict):
        yield from config.items()
    elif isinstance(config, list | tuple):
        yield from enumerate(config)
