"""One step of a recurrent cell that is known by its code alone, traced.

x (batch, *width), states (batch, *shape) each  -->  [output, next states]
"""

from dataclasses import dataclass
from typing import Any

from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.keras.pure import refuse_impure
from rnn_deploy.keras.tensorflow import keras, tf


@dataclass(frozen=True)
class TracedCellStep:
    """A traced step, and the shapes it was found to have, each without its batch.

    function: a ConcreteFunction of x and the states. output_is_state: the output and the first of
    the next states are one tensor.
    """

    function: Any
    output_shape: tuple[int, ...]
    state_shapes: tuple[tuple[int, ...], ...]
    dtype: str
    output_is_state: bool


def traced_step(cell: Any, layer: str, width: tuple[int, ...]) -> TracedCellStep:
    """Trace a step of `cell` over inputs (batch, *width), in what is now the compute dtype.

    UnsupportedModelError, naming `layer`, when that cannot be done.
    """
    options = {"training": False} if getattr(cell, "_call_has_training_arg", False) else {}
    same: list[bool] = []

    def step(x: Any, *states: Any) -> list[Any]:
        output, after = cell(x, list(states), **options)
        flat = keras.tree.flatten(after)
        same.append(bool(flat) and output is flat[0])
        return [output, *flat]

    dtype = cell.compute_dtype
    shapes = state_shapes(cell)
    with tf.init_scope():
        specs = [tf.TensorSpec([None, *shape], dtype) for shape in (width, *shapes)]
        try:
            function = tf.function(step, autograph=False).get_concrete_function(*specs)
        except Exception as error:  # the cell is the user's, so is what it raises
            raise UnsupportedModelError(
                f"layer '{layer}': one step of {type(cell).__name__} cannot be traced by itself:"
                f" {one_line(error)}; its call must need nothing but its inputs and states"
            ) from error
    refuse_impure(f"layer '{layer}': one step of {type(cell).__name__}", function)
    output, *after = function.outputs
    found = [tuple(tensor.shape[1:]) for tensor in (output, *after)]
    if any(None in shape for shape in found) or tuple(found[1:]) != shapes:
        raise UnsupportedModelError(
            f"layer '{layer}': the states {list(shapes)} become {found[1:]} by one step of"
            f" {type(cell).__name__}; states must keep their shapes"
        )
    return TracedCellStep(function, found[0], shapes, dtype, same[-1])


def state_shapes(cell: Any) -> tuple[tuple[int, ...], ...]:
    """The shapes of a cell's states, each without its batch."""
    if not hasattr(cell, "get_initial_state"):
        return tuple((int(size),) for size in keras.tree.flatten(cell.state_size))
    with tf.init_scope():
        initial = keras.tree.flatten(cell.get_initial_state(batch_size=1))
    return tuple(tuple(state.shape[1:]) for state in initial)
