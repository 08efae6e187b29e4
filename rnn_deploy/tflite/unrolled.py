"""A layer for TFLite with every step written out, for a fixed length.

It has the least overhead for small models. The file, the conversion and XNNPACK's copies grow with
the length.
"""

from collections.abc import Sequence
from typing import Any

from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.spec import Recurrence, Support
from rnn_deploy.tflite.step import States, StepInputs, StepWalk, project, stacked

MOST_STEPS = 256  # with more steps, conversion takes minutes


def support(layer: Recurrence) -> Support:
    """Return whether this lowering supports the layer: its number of steps must be fixed."""
    if layer.steps is None:
        return Support(False, "its number of steps is open; add --time N")
    if layer.steps > MOST_STEPS:
        reason = f"{layer.steps} steps are too many to write out; at most {MOST_STEPS}"
        return Support(False, reason)
    return Support(True, f"{layer.steps} step{'s' if layer.steps > 1 else ''} written out")


def lower(
    layer: Recurrence, x: Any, states: Sequence[Any] | None, mask: Any | None
) -> tuple[Any, States]:
    """Lower like `loop.lower`; x must have a fixed number of steps."""
    assert layer.steps is not None
    walk = StepWalk(layer)
    if layer.go_backwards:
        x, mask = (None if tensor is None else tf.reverse(tensor, [1]) for tensor in (x, mask))
    carried = walk.start(tf.shape(x)[0], states)
    rows = StepInputs(project(layer, x), mask)
    outputs, after = walk.over(rows, layer.steps, carried)
    output = stacked(outputs) if layer.return_sequences else walk.last(after[-1])
    return output, walk.finals(after[-1])
