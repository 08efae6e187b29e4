"""TimeDistributed as one call over batch * time.

If batch and time are both open, Keras' own TimeDistributed maps over the batch's size instead of
time while it is traced, and returns a wrong shape. A layer that treats every step alike can process
all steps at once: reshape (batch, time, ...) to (batch * time, ...) and back, and the mask too. A
recurrent layer inside starts from zero at each step, so its state is not a state of the model.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from rnn_deploy.keras import access, compat
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.keras.training import refuse_normalising_steps

# These layers work on the last axis only.
ON_LAST_AXIS = ("Dense", "Activation", "Dropout")
_WITHIN: ContextVar[bool] = ContextVar("within a TimeDistributed", default=False)


def within_step() -> bool:
    """Return whether a TimeDistributed is being called, so that the batch consists of steps."""
    return _WITHIN.get()


@contextmanager
def all_steps_at_once() -> Iterator[None]:
    """While open, TimeDistributed calls its layer once for all steps."""
    with ExitStack() as stack:
        for layers in access.layer_modules():
            stack.enter_context(compat.replaced(layers.TimeDistributed, "call", _call))
        yield


def _call(self: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    layer = self.layer
    if training:
        refuse_normalising_steps(self, layer)
    options = {"training": bool(training)} if access.takes_training(layer) else {}
    kinds = [getattr(layers, kind) for layers in access.layer_modules() for kind in ON_LAST_AXIS]
    if mask is not None:  # even where it has no effect, it has the length of the sequence
        inputs.shape[:2].assert_is_compatible_with(mask.shape[:2])
    if type(layer) in kinds:
        return layer.call(inputs, **options)
    if mask is not None and access.takes_mask(layer):
        options["mask"] = _side_by_side(mask)
    token = _WITHIN.set(True)
    try:
        outputs = layer.call(_side_by_side(inputs), **options)
    finally:
        _WITHIN.reset(token)
    shape = tf.concat([tf.shape(inputs)[:2], tf.shape(outputs)[1:]], axis=0)
    steps = tf.reshape(outputs, shape)
    steps.set_shape([*inputs.shape[:2], *outputs.shape[1:]])
    return steps


def _side_by_side(steps: Any) -> Any:
    """Reshape (batch, time, ...) to (batch * time, ...)."""
    flat = tf.reshape(steps, tf.concat([[-1], tf.shape(steps)[2:]], axis=0))
    flat.set_shape([None, *steps.shape[2:]])
    return flat
