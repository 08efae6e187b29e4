"""Keras' own defaults, independent of the environment and ~/.keras/keras.json.

A model file must mean the same on every machine: options that it omits have Keras' own defaults.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rnn_deploy.keras.keras2.package import loaded
from rnn_deploy.keras.tensorflow import keras

_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


@contextmanager
def usual_defaults() -> Iterator[None]:
    """While open, Keras 3 and tf_keras have the defaults that they have without user settings."""
    with ExitStack() as stack:
        for settings in filter(None, (keras.config, getattr(loaded(), "backend", None))):
            stack.enter_context(_default(settings))
        yield


@contextmanager
def _default(settings: Any) -> Iterator[None]:
    before = {name: getattr(settings, name)() for name in _DEFAULTS}
    try:
        for name, value in _DEFAULTS.items():
            getattr(settings, f"set_{name}")(value)
        yield
    finally:
        for name, value in before.items():
            getattr(settings, f"set_{name}")(value)
