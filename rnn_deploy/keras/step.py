"""Trace one step of a user's own recurrent cell.

x (batch, *width), states (batch, *shape) each  -->  [output, next states]
"""

from dataclasses import dataclass
from typing import Any

from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.keras import access
from rnn_deploy.keras.keras2 import package as keras2
from rnn_deploy.keras.pure import refuse_impure
from rnn_deploy.keras.tensorflow import keras, tf


@dataclass(frozen=True)
class TracedCellStep:
    """A traced step and its shapes, each without the batch.

    function: a ConcreteFunction of x and the states. output_is_state: the output and the first of
    the next states are the same tensor.
    """

    function: Any
    output_shape: tuple[int, ...]
    state_shapes: tuple[tuple[int, ...], ...]
    dtype: str
    output_is_state: bool


def traced_step(
    cell: Any, layer: str, width: tuple[int, ...], *, training: bool = False
) -> TracedCellStep:
    """Trace a step of `cell` over inputs (batch, *width), in its current compute dtype.

    Raises UnsupportedModelError, naming `layer`, if the cell cannot be traced.
    """
    options = {"training": training} if access.takes_training(cell) else {}
    same: list[bool] = []

    def step(x: Any, *states: Any) -> list[Any]:
        output, after = cell(x, list(states), **options)
        flat = keras.tree.flatten(after)
        same.append(bool(flat) and output is flat[0])
        return [output, *flat]

    dtype = cell.compute_dtype
    shapes = state_shapes(cell, width)
    with tf.init_scope():
        specs = [tf.TensorSpec([None, *shape], dtype) for shape in (width, *shapes)]
        try:
            function = tf.function(step, autograph=False).get_concrete_function(*specs)
        except Exception as error:  # the user's cell may raise anything
            raise UnsupportedModelError(
                "E-MODEL-STEP",
                f"layer '{layer}': one step of {type(cell).__name__} cannot be traced alone:"
                f" {one_line(error)}; its call may use nothing but its inputs and states",
            ) from error
    refuse_impure(f"layer '{layer}': one step of {type(cell).__name__}", function)
    output, *after = function.outputs
    found = [tuple(tensor.shape[1:]) for tensor in (output, *after)]
    if any(None in shape for shape in found) or tuple(found[1:]) != shapes:
        raise UnsupportedModelError(
            "E-MODEL-STATE-SHAPE",
            f"layer '{layer}': one step of {type(cell).__name__} returns states of shapes"
            f" {found[1:]}, expected {list(shapes)}; let the step keep the shapes of its states",
        )
    return TracedCellStep(function, found[0], shapes, dtype, same[-1])


def state_shapes(cell: Any, width: tuple[int, ...] | None = None) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a cell's states, each without the batch.

    width: the shape of one step; without it, only the number of shapes is right for a convolution
    of Keras 2.
    """
    if keras2.is_keras2(cell):
        return keras2.state_shapes(cell, width)
    if not hasattr(cell, "get_initial_state"):
        return tuple((int(size),) for size in keras.tree.flatten(cell.state_size))
    with tf.init_scope():
        initial = keras.tree.flatten(cell.get_initial_state(batch_size=1))
    return tuple(tuple(state.shape[1:]) for state in initial)
