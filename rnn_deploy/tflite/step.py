"""One step of each cell in TensorFlow operations, with masks, for TFLite.

    project    the input's part of every step at once: (batch, time, *width) -> (batch, time, ...)
    StepWalk   the values that a layer carries from step to step, and its step over a few rows

Only operations that the converter maps to builtins. For a cell that is not Keras' own, the traced
step is called.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.keras.tensorflow import keras, tf
from rnn_deploy.numerics.cells import HARD_SIGMOID_OF_KERAS_2
from rnn_deploy.spec import Recurrence, RecurrentLayer, TracedLayer

States = list[Any]
# Takes x and the states; returns the output and the next states.
Step = Callable[..., tuple[Any, States]]


@dataclass(frozen=True)
class StepInputs:
    """Some steps of a layer's input: projected (batch, steps, ...), mask (batch, steps) or None."""

    projected: Any
    mask: Any | None


@dataclass(frozen=True)
class StepWalk:
    """A layer's steps over rows.

    The carried values are the states, and the output if it is not a state but is needed.
    """

    layer: Recurrence

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of the carried values, without the batch."""
        kept = [self.layer.output_shape] if self._keeps_output else []
        return [*self.layer.state_shapes, *kept]

    def start(self, batch: Any, states: Sequence[Any] | None) -> States:
        """Return the first carried values: the given or zero states, and an output of zero."""
        zeros = [tf.zeros([batch, *shape]) for shape in self.shapes]
        return [*(states or zeros[: len(self.layer.roles)]), *zeros[len(self.layer.roles) :]]

    def finals(self, carried: States) -> States:
        """Return the states among the carried values."""
        return carried[: len(self.layer.roles)]

    def last(self, carried: States) -> Any:
        """Return the last step's output."""
        return carried[-1] if self._keeps_output else carried[0]

    def over(self, rows: StepInputs, count: int, carried: States) -> tuple[list[Any], list[States]]:
        """Write out `count` steps; return the output and the carried values after each of them."""
        step = _step_of(self.layer)  # its weights are constants inside this loop's body
        outputs, after = [], []
        masks = [None] * count if rows.mask is None else _unstacked(rows.mask, count)
        for x, mask in zip(_unstacked(rows.projected, count), masks, strict=True):
            output, carried = self._advance(step, x, mask, carried)
            outputs.append(output)
            after.append(carried)
        return outputs, after

    @property
    def _keeps_output(self) -> bool:
        last = not self.layer.return_sequences and not self.layer.output_is_state
        return self.layer.carries_output or last

    def _advance(self, step: Step, x: Any, mask: Any | None, carried: States) -> tuple[Any, States]:
        layer, states = self.layer, self.finals(carried)
        output, new = step(x, *states)
        if mask is None:
            return output, [*new, *([output] if self._keeps_output else [])]
        after = [_where(mask, a, b) for a, b in zip(new, states, strict=True)]
        if not layer.carries_output:
            return after[0], after
        before = tf.zeros_like(output) if layer.zero_output_for_mask else carried[-1]
        output = _where(mask, output, before)
        return output, [*after, output]


def project(layer: Recurrence, x: Any) -> Any:
    """Return one product for the inputs of all steps; x itself for a traced cell."""
    if not isinstance(layer, RecurrentLayer):
        return x
    product = tf.matmul(x, tf.constant(layer.kernel))
    return product if layer.bias is None else product + tf.constant(np.atleast_2d(layer.bias)[0])


def _unstacked(rows: Any, count: int) -> list[Any]:
    """Split (batch, count, ...) into `count` of (batch, ...); a single one is only reshaped."""
    if count > 1:
        return list(tf.unstack(rows, num=count, axis=1))
    return [tf.reshape(rows, [-1, *rows.shape[2:]])]


def stacked(outputs: list[Any]) -> Any:
    """Stack `count` outputs (batch, ...) to (batch, count, ...)."""
    if len(outputs) > 1:
        return tf.stack(outputs, axis=1)
    return tf.reshape(outputs[0], [-1, 1, *outputs[0].shape[1:]])


def _where(mask: Any, new: Any, old: Any) -> Any:
    """Choose by the mask (batch,), for values of any rank."""
    return tf.where(tf.reshape(mask, [-1, *[1] * (new.shape.rank - 1)]), new, old)


def _activations(layer: RecurrentLayer) -> tuple[Any, Any]:
    f, sigma = layer.activation, layer.recurrent_activation
    return _activation(f), _activation(sigma)


def _activation(name: str) -> Any:
    if name == HARD_SIGMOID_OF_KERAS_2:
        return lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0)
    return keras.activations.get(name)


def _step_of(layer: Recurrence) -> Step:
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
    R = layer.recurrent_kernel
    bias = None if layer.bias is None or not layer.reset_after else tf.constant(layer.bias[1])
    whole, gates, candidate = (
        tf.constant(part) for part in (R, R[:, : 2 * units], R[:, 2 * units :])
    )

    def after(x: Any, h: Any) -> States:
        x_z, x_r, x_h = tf.split(x, 3, axis=-1)
        product = tf.matmul(h, whole)
        r_z, r_r, r_h = tf.split(product if bias is None else product + bias, 3, axis=-1)
        z, r = sigma(x_z + r_z), sigma(x_r + r_r)
        new = f(x_h + r * r_h)
        return [new + z * (h - new)]

    def before(x: Any, h: Any) -> States:
        x_z, x_r, x_h = tf.split(x, 3, axis=-1)
        r_z, r_r = tf.split(tf.matmul(h, gates), 2, axis=-1)
        z, r = sigma(x_z + r_z), sigma(x_r + r_r)
        new = f(x_h + tf.matmul(r * h, candidate))
        return [new + z * (h - new)]

    return after if layer.reset_after else before


def _lstm(layer: RecurrentLayer) -> Callable[..., States]:
    f, sigma = _activations(layer)
    R = tf.constant(layer.recurrent_kernel)

    def step(x: Any, h: Any, c: Any) -> States:
        i, forget, g, o = tf.split(x + tf.matmul(h, R), 4, axis=-1)
        c = sigma(forget) * c + sigma(i) * f(g)
        return [sigma(o) * f(c), c]

    return step


_STEPS = {"simple_rnn": _simple_rnn, "gru": _gru, "lstm": _lstm}


def steps_to_a_turn(
    layer: Recurrence,
    fitting: Sequence[tuple[int, int]],
    unknown: int,
    lost: Callable[[int, int], int],
) -> int:
    """Return how many steps of a layer one turn of a loop computes.

    fitting: (steps, bytes): so many steps up to so many bytes of recurrent weights, the most steps
    first. unknown: the bytes for a cell of which only the step is known. For a fixed length, the
    number for which `lost(steps, k)` is smallest.
    """
    size = layer.recurrent_kernel.nbytes if isinstance(layer, RecurrentLayer) else unknown
    most = next((k for k, largest in fitting if size <= largest), 1)
    steps = layer.steps
    if steps is None or steps <= most:
        return steps or most
    return min(range(most, most // 2, -1), key=lambda k: lost(steps, k))
