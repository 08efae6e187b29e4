"""Convert configurations of models that Keras 1 wrote to Keras 2.

Only JSON, as in `configuration`. Source: keras.legacy.interfaces of Keras 2.0, which accepted the
arguments of Keras 1, and the layers of Keras 1.2.
"""

from typing import Any

from rnn_deploy.errors import UnsupportedModelError

Config = dict[str, Any]
_CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
}
_MERGES = {
    "sum": "Add",
    "mul": "Multiply",
    "concat": "Concatenate",
    "ave": "Average",
    "max": "Maximum",
    "dot": "Dot",
    "cos": "Dot",
}
_NOT_IN_KERAS_2 = (
    *("MaxoutDense", "Highway", "TimeDistributedMerge", "ParametricSoftplus", "SReLU"),
    "Graph",
)
_RENAMED = {
    "bias": "use_bias",
    "border_mode": "padding",
    "atrous_rate": "dilation_rate",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "input_dtype": "dtype",
    "length": "size",
    "nb_filter": "filters",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
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
    *("gamma_regularizer", "beta_regularizer", "beta_init", "gamma_init"),
)
_ORDER = {"tf": "channels_last", "th": "channels_first"}
_SIZES = (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3"))


def from_keras_1(config: Any) -> Any:
    """Return a configuration of Keras 1 with the names and arguments of Keras 2.

    Raises UnsupportedModelError for a layer that Keras 2 does not have.
    """
    if isinstance(config, list):
        return [from_keras_1(part) for part in config]
    if not isinstance(config, dict):
        return config
    new = {key: from_keras_1(value) for key, value in config.items()}
    kind = new.get("class_name")
    options = new.get("config")
    if not isinstance(kind, str) or not isinstance(options, dict):
        return new
    if kind == "Merge":
        return new | _merge(options)
    if "layers" in options:  # a model
        return new
    if kind in _NOT_IN_KERAS_2:
        raise _refused(options, kind)
    if kind == "TimeDistributedDense":
        return new | _time_distributed(options)
    return {**new, "class_name": _CLASSES.get(kind, kind), "config": _options(kind, options)}


def _time_distributed(options: Config) -> Config:
    outside = ("name", "batch_input_shape", "trainable")
    inside = {key: value for key, value in options.items() if key not in outside}
    dense = {"class_name": "Dense", "config": inside | {"name": f"{options['name']}_dense"}}
    shape = {key: options[key] for key in outside if key in options}
    return {
        "class_name": "TimeDistributed",
        "config": shape | {"layer": from_keras_1(dense)},
    }


def _merge(options: Config) -> Config:
    mode = options.get("mode")
    if options.get("mode_type", "raw") != "raw" or mode not in _MERGES:
        raise _refused(options, "Merge with a function")
    if "layers" in options:
        raise _refused(options, "Merge at the start of a Sequential model")
    new: Config = {key: options[key] for key in ("name", "trainable") if key in options}
    if mode == "concat":
        new["axis"] = options.get("concat_axis", -1)
    if mode in ("dot", "cos"):
        axes = options.get("dot_axes", -1)
        flat = isinstance(axes, list) and all(isinstance(a, list) and len(a) == 1 for a in axes)
        new |= {"axes": [a[0] for a in axes] if flat else axes, "normalize": mode == "cos"}
    return {"class_name": _MERGES[mode], "config": new}


def _options(kind: str, options: Config) -> Config:
    """Return the arguments of one layer under their new names."""
    kept = options.items()
    if kind == "Embedding":
        own = ("input_dim", "input_length")
        return {k: v for k, v in kept if k not in _GONE or k in own if k != "dropout"}
    new = {_RENAMED.get(k, k): v for k, v in kept if k not in _GONE and k != "dim_ordering"}
    if options.get("dim_ordering") in _ORDER:
        new["data_format"] = _ORDER[options["dim_ordering"]]
    if "output_dim" in new:
        new["units"] = new.pop("output_dim")
    for sizes in _SIZES:
        if sizes[0] in new:
            new["kernel_size"] = [new.pop(size) for size in sizes]
    if kind == "BatchNormalization" and new.pop("mode", 0) != 0:
        raise _refused(options, "BatchNormalization with a mode other than 0")
    return new


def _refused(options: Config, what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        "E-SOURCE-KERAS-1",
        f"layer '{options.get('name')}' is a {what} of Keras 1, which Keras 2 does not have; build"
        " the model in Python without it, and add --model-from FILE.py:FUNCTION",
    )
