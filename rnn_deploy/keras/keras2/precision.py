"""A tf_keras model in another precision: a new model with the same configuration and weights.

A layer of tf_keras creates its weights in the precision of its computation, so unlike a Keras 3
layer it cannot change its precision afterwards.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.keras.access import layers_in
from rnn_deploy.keras.keras2.package import package
from rnn_deploy.keras.tensorflow import keras

_FLOATS = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")


@contextmanager
def computing_by_default_in(dtype: str) -> Iterator[None]:
    """While open, `dtype` is tf_keras' default float type; many layers use it for constants."""
    backend = package().backend
    before = backend.floatx()
    backend.set_floatx(dtype)
    try:
        yield
    finally:
        backend.set_floatx(before)


def in_precision(model: Any, dtype: str) -> Any:
    """Return `model` itself if it computes in `dtype`, else a copy that does.

    Raises UnsupportedModelError if the model cannot be built from its configuration.
    """
    if all(layer.compute_dtype in (None, dtype) for layer in _layers_in(model)):
        return model
    known = package().utils.custom_object_scope(_classes_and_functions_of(model))
    with computing_by_default_in(dtype), known:
        try:
            # A copy, so that the layers of both models share no list or dict.
            twin = type(model).from_config(_with_dtype(keras.tree.map_structure(
                lambda value: value, model.get_config(), none_is_leaf=True), dtype))  # fmt: skip
            if not twin.built:
                twin.build(model.input_shape)
            values = zip(model.get_weights(), twin.get_weights(), strict=True)
            twin.set_weights([np.asarray(value).astype(like.dtype) for value, like in values])
        except Exception as error:  # the user's layers may raise anything
            raise UnsupportedModelError(
                "E-MODEL-REBUILD",
                f"model '{model.name}' cannot be built in {dtype} from its configuration"
                f" ({one_line(error)}); let get_config of your own layers return every argument",
            ) from error
    return twin


def _classes_and_functions_of(model: Any) -> dict[str, Any]:
    """Return the user's classes and functions in a model, by their names in the configuration."""
    found: dict[str, Any] = {}
    for layer in layers_in(model):
        values = (type(layer), *vars(layer).values())
        found |= {v.__name__: v for v in values if inspect.isfunction(v) or inspect.isclass(v)}
    return {
        name: value
        for name, value in found.items()
        if not value.__module__.startswith(("tf_keras.", "keras.", "tensorflow."))
    }


def _layers_in(model: Any) -> list[Any]:
    layers = layers_in(model, include_self=False)
    return [layer for layer in layers if str(layer.compute_dtype) in _FLOATS]


def _with_dtype(config: Any, dtype: str) -> Any:
    """Replace every float dtype and dtype policy of a configuration."""
    if isinstance(config, dict):
        return {
            key: dtype if key == "dtype" and _is_float(value) else _with_dtype(value, dtype)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_with_dtype(part, dtype) for part in config)
    return config


def _is_float(value: Any) -> bool:
    if isinstance(value, dict):  # a policy, as Keras 2.4 and later write it
        value = value.get("config", {}).get("name")
    return value in _FLOATS
