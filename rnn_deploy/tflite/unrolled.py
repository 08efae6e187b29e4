"""A layer for TFLite with every step written out, for a length that is known.

The least overhead on small models; file, conversion and what XNNPACK packs grow with the length.
"""

from collections.abc import Sequence
from typing import Any

from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.spec import Recurrence, Support
from rnn_deploy.tflite.step import States, StepInputs, StepWalk, project, stacked

MOST_STEPS = 256  # beyond, conversion takes minutes


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
    """As `loop.lower`; time must be fixed in x."""
    assert layer.steps is not None
    walk = StepWalk(layer)
    if layer.go_backwards:
        x, mask = (None if tensor is None else tf.reverse(tensor, [1]) for tensor in (x, mask))
    carried = walk.start(tf.shape(x)[0], states)
    rows = StepInputs(project(layer, x), mask)
    outputs, after = walk.over(rows, layer.steps, carried)
    output = stacked(outputs) if layer.return_sequences else walk.last(after[-1])
    return output, walk.finals(after[-1])
