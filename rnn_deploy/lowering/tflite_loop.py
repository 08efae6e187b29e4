"""SimpleRNN for TFLite: one product for the inputs of all steps, then a WHILE of small steps.

Written in TensorFlow operations that the converter turns into builtins with batch and time open.
The buffer that holds the inputs' part of every step is overwritten by the outputs, step by step,
so the loop carries one tensor. Batch is kept first outside, time first inside.
"""

from typing import Any

from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from rnn_deploy.source.tensorflow import keras, tf
from rnn_deploy.spec import RecurrentLayer

NAME = "loop"
REASON = "builtin operators with batch and time open"


def lower(layer: RecurrentLayer, x: Any, h: Any | None) -> tuple[Any, Any]:
    """x (batch, time, width), h (batch, units) or None for zero: the output, the final state."""
    activation = keras.activations.get(layer.activation)
    recurrent = tf.constant(layer.recurrent_kernel)
    steps = tf.transpose(_project(layer, x), [1, 0, 2])  # (time, batch, units)
    if layer.go_backwards:
        steps = tf.reverse(steps, [0])
    if h is None:
        h = tf.zeros([tf.shape(x)[0], layer.units])
    length = tf.shape(steps)[0]

    def body(t: Any, state: Any, buffer: Any) -> tuple[Any, Any, Any]:
        state = activation(tf.gather(buffer, t) + tf.matmul(state, recurrent))
        place = tf.stack([t, 0, 0])
        updated = gen_xla_ops.xla_dynamic_update_slice(buffer, state[None], place)
        return t + 1, state, updated

    state_shape, buffer_shape = [None, layer.units], [None, None, layer.units]
    _, final, outputs = tf.while_loop(
        lambda t, state, buffer: t < length,
        body,
        [tf.constant(0), h, steps],
        shape_invariants=[tf.TensorShape(s) for s in ([], state_shape, buffer_shape)],
    )
    if not layer.return_sequences:
        return final, final
    return tf.transpose(outputs, [1, 0, 2]), final


def _project(layer: RecurrentLayer, x: Any) -> Any:
    product = tf.matmul(x, tf.constant(layer.kernel))
    return product if layer.bias is None else product + tf.constant(layer.bias)
