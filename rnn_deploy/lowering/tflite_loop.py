"""A layer for TFLite: one product for the inputs of all steps, then a WHILE of small steps.

Written in TensorFlow operations that the converter turns into builtins with batch and time open.
Where the whole sequence is returned, the loop carries one buffer for it; a SimpleRNN writes its
outputs over the inputs' part, which has their shape. Batch is first outside, time first inside.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from rnn_deploy.source.tensorflow import keras, tf
from rnn_deploy.spec import RecurrentLayer

NAME = "loop"
REASON = "builtin operators with batch and time open"

States = list[Any]


def lower(layer: RecurrentLayer, x: Any, states: Sequence[Any] | None) -> tuple[Any, States]:
    """x (batch, time, width), states (batch, units) each or None: the output, the final states."""
    steps = tf.transpose(_project(layer, x), [1, 0, 2])  # (time, batch, gates * units)
    if layer.go_backwards:
        steps = tf.reverse(steps, [0])
    if states is None:
        states = [tf.zeros([tf.shape(x)[0], layer.units]) for _ in layer.roles]
    run = _run_keeping_all if layer.return_sequences else _run_keeping_last
    return run(layer, steps, list(states))


def _run_keeping_last(layer: RecurrentLayer, steps: Any, states: States) -> tuple[Any, States]:
    step, length = _STEPS[layer.cell](layer), tf.shape(steps)[0]

    def body(t: Any, *states: Any) -> tuple[Any, ...]:
        return t + 1, *step(tf.gather(steps, t), *states)

    _, *finals = tf.while_loop(
        lambda t, *_: t < length, body, [tf.constant(0), *states], shape_invariants=_shapes(layer)
    )
    return finals[0], finals


def _run_keeping_all(layer: RecurrentLayer, steps: Any, states: States) -> tuple[Any, States]:
    step, length = _STEPS[layer.cell](layer), tf.shape(steps)[0]
    over_inputs = layer.cell == "simple_rnn"
    buffer = steps if over_inputs else tf.zeros([length, tf.shape(steps)[1], layer.units])

    def body(t: Any, buffer: Any, *states: Any) -> tuple[Any, ...]:
        after = step(tf.gather(buffer if over_inputs else steps, t), *states)
        place = tf.stack([t, 0, 0])
        buffer = gen_xla_ops.xla_dynamic_update_slice(buffer, after[0][None], place)
        return t + 1, buffer, *after

    time, *of_states = _shapes(layer)
    _, outputs, *finals = tf.while_loop(
        lambda t, *_: t < length,
        body,
        [tf.constant(0), buffer, *states],
        shape_invariants=[time, tf.TensorShape([None, None, layer.units]), *of_states],
    )
    return tf.transpose(outputs, [1, 0, 2]), finals


def _shapes(layer: RecurrentLayer) -> list[Any]:
    return [tf.TensorShape([]), *(tf.TensorShape([None, layer.units]) for _ in layer.roles)]


def _project(layer: RecurrentLayer, x: Any) -> Any:
    product = tf.matmul(x, tf.constant(layer.kernel))
    return product if layer.bias is None else product + tf.constant(np.atleast_2d(layer.bias)[0])


def _activations(layer: RecurrentLayer) -> tuple[Any, Any]:
    f, sigma = layer.activation, layer.recurrent_activation
    return keras.activations.get(f), keras.activations.get(sigma)


def _simple_rnn(layer: RecurrentLayer) -> Callable[..., States]:
    f, _ = _activations(layer)
    R = tf.constant(layer.recurrent_kernel)

    def step(x: Any, h: Any) -> States:
        return [f(x + tf.matmul(h, R))]

    return step


def _gru(layer: RecurrentLayer) -> Callable[..., States]:
    f, sigma = _activations(layer)
    units = layer.units
    bias = np.zeros(3 * units, np.float32)
    if layer.reset_after and layer.bias is not None:
        bias = layer.bias[1]
    R_zr, R_h = (tf.constant(part) for part in np.split(layer.recurrent_kernel, [2 * units], -1))
    b_zr, b_h = (tf.constant(part) for part in np.split(bias, [2 * units]))

    def step(x: Any, h: Any) -> States:
        x_zr, x_h = tf.split(x, [2 * units, units], axis=-1)
        z, r = tf.split(sigma(x_zr + (tf.matmul(h, R_zr) + b_zr)), 2, axis=-1)
        recurrent = r * (tf.matmul(h, R_h) + b_h) if layer.reset_after else tf.matmul(r * h, R_h)
        candidate = f(x_h + recurrent)
        return [candidate + z * (h - candidate)]

    return step


def _lstm(layer: RecurrentLayer) -> Callable[..., States]:
    f, sigma = _activations(layer)
    R = tf.constant(layer.recurrent_kernel)

    def step(x: Any, h: Any, c: Any) -> States:
        i, forget, g, o = tf.split(x + tf.matmul(h, R), 4, axis=-1)
        c = sigma(forget) * c + sigma(i) * f(g)
        return [sigma(o) * f(c), c]

    return step


_STEPS = {"simple_rnn": _simple_rnn, "gru": _gru, "lstm": _lstm}
