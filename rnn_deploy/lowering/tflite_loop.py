"""A layer for TFLite: one product for the inputs of all steps, then a WHILE of small steps.

Written in TensorFlow operations that the converter turns into builtins with batch and time open.
Where the whole sequence is returned, the loop carries one buffer for it; a SimpleRNN writes its
outputs over the inputs' part, which has their shape. Batch is first outside, time first inside.
The step of a cell that is not Keras' own is called as it was traced.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from rnn_deploy.source.tensorflow import keras, tf
from rnn_deploy.spec import Recurrence, RecurrentLayer, TracedLayer

NAME = "loop"
REASON = "builtin operators with batch and time open"

States = list[Any]


def lower(
    layer: Recurrence, x: Any, states: Sequence[Any] | None, mask: Any | None
) -> tuple[Any, States]:
    """x (batch, time, *width), states (batch, *shape) each or None for zero, mask (batch, time).

    Returns the output and the final states.
    """
    scanned = [_time_first(_project(layer, x))]
    if mask is not None:
        scanned.append(tf.expand_dims(tf.transpose(mask, [1, 0]), -1))  # (time, batch, 1)
    if layer.go_backwards:
        scanned = [tf.reverse(tensor, [0]) for tensor in scanned]
    zeros = [tf.zeros([tf.shape(x)[0], *shape]) for shape in _carried_shapes(layer)]
    carried = [*(states or zeros[: len(layer.roles)]), *zeros[len(layer.roles) :]]
    run = _run_keeping_all if layer.return_sequences else _run_keeping_last
    output, finals = run(layer, scanned, carried)
    return output, finals[: len(layer.roles)]


def _advance(layer: Recurrence) -> Callable[..., tuple[Any, States]]:
    """A step that a mask may hold back: from what is carried to the output and what is carried."""
    step = _step(layer)

    def advance(x: Any, mask: Any | None, carried: States) -> tuple[Any, States]:
        states = carried[: len(layer.roles)]
        output, new = step(x, *states)
        if mask is None:
            return output, [*new, *([output] if _keeps_output(layer) else [])]
        after = [_where(mask, a, b) for a, b in zip(new, states, strict=True)]
        if not layer.carries_output:
            return after[0], after
        before = tf.zeros_like(output) if layer.zero_output_for_mask else carried[-1]
        output = _where(mask, output, before)
        return output, [*after, output]

    return advance


def _run_keeping_last(layer: Recurrence, scanned: States, carried: States) -> tuple[Any, States]:
    advance, length = _advance(layer), tf.shape(scanned[0])[0]

    def body(t: Any, *carried: Any) -> tuple[Any, ...]:
        x, mask = _at(scanned, t)
        return t + 1, *advance(x, mask, list(carried))[1]

    _, *finals = tf.while_loop(
        lambda t, *_: t < length, body, [tf.constant(0), *carried], _shapes(layer)
    )
    return finals[-1] if _keeps_output(layer) else finals[0], finals


def _run_keeping_all(layer: Recurrence, scanned: States, carried: States) -> tuple[Any, States]:
    advance, steps, length = _advance(layer), scanned[0], tf.shape(scanned[0])[0]
    over_inputs = isinstance(layer, RecurrentLayer) and layer.cell == "simple_rnn"
    shape = layer.output_shape
    buffer = steps if over_inputs else tf.zeros([length, tf.shape(steps)[1], *shape])

    def body(t: Any, buffer: Any, *carried: Any) -> tuple[Any, ...]:
        x, mask = _at([buffer if over_inputs else steps, *scanned[1:]], t)
        output, after = advance(x, mask, list(carried))
        place = tf.stack([t, 0, *([0] * len(shape))])
        buffer = gen_xla_ops.xla_dynamic_update_slice(buffer, output[None], place)
        return t + 1, buffer, *after

    time, *of_carried = _shapes(layer)
    _, outputs, *finals = tf.while_loop(
        lambda t, *_: t < length,
        body,
        [tf.constant(0), buffer, *carried],
        [time, tf.TensorShape([None, None, *shape]), *of_carried],
    )
    return _time_first(outputs), finals


def _at(scanned: States, t: Any) -> tuple[Any, Any | None]:
    x, *mask = (tf.gather(tensor, t) for tensor in scanned)
    return x, mask[0] if mask else None


def _shapes(layer: Recurrence) -> list[Any]:
    shapes = _carried_shapes(layer)
    return [tf.TensorShape([]), *(tf.TensorShape([None, *shape]) for shape in shapes)]


def _carried_shapes(layer: Recurrence) -> list[tuple[int, ...]]:
    return [*layer.state_shapes, *([layer.output_shape] if _keeps_output(layer) else [])]


def _keeps_output(layer: Recurrence) -> bool:
    """Whether the loop carries the output: it is no state, and the last one is asked for."""
    last = not layer.return_sequences and not layer.output_is_state
    return layer.carries_output or last


def _time_first(x: Any) -> Any:
    """The first two axes changed about."""
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


def _where(mask: Any, new: Any, old: Any) -> Any:
    """By the mask (batch, 1), for values of any rank."""
    return tf.where(tf.reshape(mask, [-1, *[1] * (new.shape.rank - 1)]), new, old)


def _project(layer: Recurrence, x: Any) -> Any:
    if not isinstance(layer, RecurrentLayer):
        return x
    product = tf.matmul(x, tf.constant(layer.kernel))
    return product if layer.bias is None else product + tf.constant(np.atleast_2d(layer.bias)[0])


def _activations(layer: RecurrentLayer) -> tuple[Any, Any]:
    f, sigma = layer.activation, layer.recurrent_activation
    return keras.activations.get(f), keras.activations.get(sigma)


def _step(layer: Recurrence) -> Callable[..., tuple[Any, States]]:
    """A step of x and the states to the output and the next states."""
    if isinstance(layer, TracedLayer):

        def traced(x: Any, *states: Any) -> tuple[Any, States]:
            output, *after = layer.step(x, *states)
            return output, after

        return traced
    assert isinstance(layer, RecurrentLayer)
    step = _STEPS[layer.cell](layer)

    def known(x: Any, *states: Any) -> tuple[Any, States]:
        after = step(x, *states)
        return after[0], after

    return known


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
