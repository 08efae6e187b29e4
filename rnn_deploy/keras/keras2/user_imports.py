"""Import the user's own code so that `keras` in it means Keras 2.

Code for an old file contains `import keras` or `from tensorflow.keras import layers`; for this file
both must be tf_keras.
"""

import inspect
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from rnn_deploy.keras.keras2.package import package
from rnn_deploy.keras.tensorflow import tf

_NAMES = ("keras", "tensorflow.keras", "tensorflow.python.keras")
# Modules in which Keras 1 and 2.0 to 2.3 had layers.
_FORMER = (
    *("engine", "engine.topology", "engine.base_layer", "engine.training", "layers.core"),
    *("layers.recurrent", "layers.wrappers", "layers.embeddings", "layers.convolutional"),
    *("layers.normalization", "layers.advanced_activations", "layers.merge", "layers.pooling"),
)


@contextmanager
def keras_is_keras_2() -> Iterator[None]:
    """While open, imports of keras, also through TensorFlow, return tf_keras."""
    keras2 = package()
    ours = {name: module for name, module in sys.modules.items() if _is_keras(name)}
    before = vars(tf).get("keras")
    aliases = dict(_aliases(keras2))
    try:
        for name in ours:
            del sys.modules[name]
        sys.modules.update(aliases)
        setattr(tf, "keras", keras2)  # noqa: B010 - a lazy module that mypy considers constant
        yield
    finally:
        setattr(tf, "keras", before)  # noqa: B010
        for name in [name for name in sys.modules if _is_keras(name)]:
            del sys.modules[name]
        sys.modules.update(ours)


def use_keras_2(module: ModuleType) -> None:
    """Let `tf.keras` mean Keras 2 inside the module's functions too, whenever they run."""
    for name, value in list(vars(module).items()):
        if value is tf:
            setattr(module, name, _TensorFlowWithKeras2("tensorflow"))


class _TensorFlowWithKeras2(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return package() if name == "keras" else getattr(tf, name)


def _is_keras(name: str) -> bool:
    return any(name == keras or name.startswith(f"{keras}.") for keras in _NAMES)


def _aliases(keras2: Any) -> Iterator[tuple[str, ModuleType]]:
    found = {
        name.removeprefix("tf_keras"): module
        for name, module in sys.modules.items()
        if name == "tf_keras" or name.startswith("tf_keras.")
    }
    former = {f".{name}": keras2.layers for name in _FORMER}
    for rest, module in {**former, **found}.items():
        for keras in _NAMES:
            yield keras + rest, module


@contextmanager
def building_as(version: str | None) -> Iterator[tuple[str, ...]]:
    """While open, the user's code builds a model like the Keras of this version.

    Yields notes for the user. version: of the file with the weights, None if unknown.
    """
    release = None if version is None else _release(version)
    if version is None or release is None or release >= (3, 0):
        yield ()
        return
    layers = package().layers
    with ExitStack() as stack:
        stack.enter_context(keras_is_keras_2())
        if version.endswith("-tf") or release >= (2, 4):  # tf.keras of TensorFlow 2
            yield ()
            return
        # Standalone Keras: the new defaults came with 2.3, reset_after only with tf.keras.
        options = {"recurrent_activation": "hard_sigmoid"} if release < (2, 3) else {}
        for kind in (layers.LSTM, layers.LSTMCell):
            stack.enter_context(_defaults_of(kind, **options))
        for kind in (layers.GRU, layers.GRUCell):
            stack.enter_context(_defaults_of(kind, reset_after=False, **options))
        shown = ", ".join(f"{key}={value!r}" for key, value in options.items())
        yield (
            f"built with the defaults of Keras {version or 1}: reset_after=False for a GRU"
            + (f", and {shown}" if shown else ""),
        )


def _release(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version; (1, 0) for the oldest files, which have none."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else ((numbers or [1])[0], 0)


@contextmanager
def _defaults_of(kind: Any, **values: Any) -> Iterator[None]:
    """While open, the constructor of a class has other default values."""
    function = inspect.unwrap(kind.__init__)  # TensorFlow decorates some constructors
    before, names = function.__defaults__, inspect.getfullargspec(function).args
    first = len(names) - len(before)
    function.__defaults__ = tuple(
        values.get(name, value) for name, value in zip(names[first:], before, strict=True)
    )
    try:
        yield
    finally:
        function.__defaults__ = before
