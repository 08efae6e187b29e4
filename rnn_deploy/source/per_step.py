"""TimeDistributed as one call over batch * time.

With batch and time both open, Keras' own TimeDistributed maps over the batch's size in place of
time when it is traced, and answers with a wrong shape. A layer that treats every step alike can
take all of them at once: (batch, time, ...) as (batch * time, ...) and back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.source.tensorflow import keras, tf

# These work on the last axis, whatever stands before it.
ON_LAST_AXIS = (keras.layers.Dense, keras.layers.Activation, keras.layers.Dropout)


@contextmanager
def all_steps_at_once() -> Iterator[None]:
    """While open, TimeDistributed calls its layer once for all steps."""
    original = keras.layers.TimeDistributed.call
    keras.layers.TimeDistributed.call = _call
    try:
        yield
    finally:
        keras.layers.TimeDistributed.call = original


def _call(self: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    layer = self.layer
    if mask is not None and layer._call_has_mask_arg:
        raise UnsupportedModelError(
            f"layer '{self.name}': hands a mask to {type(layer).__name__} step by step, which is"
            " not exported so far; end the mask before it"
        )
    options = {"training": False} if layer._call_has_training_arg else {}
    if type(layer) in ON_LAST_AXIS:
        return layer.call(inputs, **options)
    shape = tf.shape(inputs)
    flat = tf.reshape(inputs, tf.concat([[-1], shape[2:]], axis=0))
    flat.set_shape([None, *inputs.shape[2:]])
    outputs = layer.call(flat, **options)
    steps = tf.reshape(outputs, tf.concat([shape[:2], tf.shape(outputs)[1:]], axis=0))
    steps.set_shape([*inputs.shape[:2], *outputs.shape[1:]])
    return steps
