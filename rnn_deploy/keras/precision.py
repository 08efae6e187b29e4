"""The precision in which a model is computed: float32, or float64 for the oracle.

Weights are never changed: they are converted when they are read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rnn_deploy.keras import access, compat
from rnn_deploy.keras.keras2.package import is_keras2
from rnn_deploy.keras.keras2.precision import computing_by_default_in
from rnn_deploy.keras.tensorflow import keras, tf


@contextmanager
def computing_in(model: Any, dtype: str) -> Iterator[None]:
    """While open, every layer of `model` computes in `dtype` and reads its weights as `dtype`.

    The float64 form of a float32 model therefore has exactly the same weights.
    """
    if is_keras2(model):  # `in_precision` has built it in this precision
        with computing_by_default_in(dtype):
            yield
        return
    policy = keras.DTypePolicy(dtype)
    layers = access.layers_in(model)
    before = [access.dtype_policy_of(layer) for layer in layers]
    try:
        for layer in layers:
            access.set_dtype_policy(layer, policy)
        wrong = [layer.name for layer in layers if layer.compute_dtype != dtype]
        if wrong:
            raise compat.newer_than_checked(
                "keras", f"layer '{wrong[0]}' does not compute in the dtype of its policy ({dtype})"
            )
        with compat.AutocastScope(dtype):
            yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            access.set_dtype_policy(layer, old)


@contextmanager
def full_precision() -> Iterator[None]:
    """While open, a nested model keeps the precision of its inputs.

    Keras would convert them to their declared dtype, for example from the float64 of the oracle to
    float32. Some layers would also lose the mask of a converted tensor.
    """
    original = getattr(*compat.CONVERT_INPUTS)

    def convert(self: Any, given: Sequence[Any]) -> list[Any]:
        pairs = zip(given, original(self, given), strict=True)
        return [before if _floats(before) and _floats(after) else after for before, after in pairs]

    with compat.replaced(*compat.CONVERT_INPUTS, convert):
        yield


def _floats(value: Any) -> bool:
    return bool(tf.is_tensor(value)) and value.dtype.is_floating
