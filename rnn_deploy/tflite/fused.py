"""A layer for TFLite as one builtin operator: UNIDIRECTIONAL_SEQUENCE_RNN or _LSTM.

No TensorFlow operation is converted to these operators. So the graph has a marker, as in
`keras.tracing`, and `flatbuffer.fuse` replaces it by the operator in the file. The inputs of the
marker are x (batch, time, width) and the states, its outputs every step's output and an LSTM's c.
"""

from collections.abc import Sequence
from typing import Any

from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.spec import Recurrence, RecurrentLayer, Support
from rnn_deploy.tflite.step import States

MARKER = "rnn_deploy_fused"
ACTIVATIONS = {"simple_rnn": ("tanh", "relu", "relu6", "linear"), "lstm": ("tanh",)}
OPERATORS = {"simple_rnn": "UNIDIRECTIONAL_SEQUENCE_RNN", "lstm": "UNIDIRECTIONAL_SEQUENCE_LSTM"}


def support(layer: Recurrence) -> Support:
    """Return whether the operators express the layer: no GRU, no masks, few activations."""
    if not isinstance(layer, RecurrentLayer) or layer.cell not in OPERATORS:
        return Support(
            False, f"TFLite has an operator for SimpleRNN and LSTM only, not {layer.cell}"
        )
    operator = OPERATORS[layer.cell]
    if layer.masked:
        return Support(False, f"{operator} knows no masks")
    if layer.activation not in ACTIVATIONS[layer.cell]:
        there = ", ".join(ACTIVATIONS[layer.cell])
        return Support(False, f"{operator} has no activation '{layer.activation}', only {there}")
    if layer.cell == "lstm" and layer.recurrent_activation != "sigmoid":
        return Support(False, f"{operator} has sigmoid gates, not '{layer.recurrent_activation}'")
    return Support(True, f"one operator, {operator}")


def lower(
    layer: Recurrence, x: Any, states: Sequence[Any] | None, mask: Any | None
) -> tuple[Any, States]:
    """Lower like `loop.lower`; mask is None."""
    assert mask is None
    if layer.go_backwards:
        x = tf.reverse(x, [1])
    begin = states or [tf.zeros([tf.shape(x)[0], layer.units]) for _ in layer.roles]
    outputs, *cells = _marked(layer, [x, *begin])
    last = outputs[:, -1]
    return outputs if layer.return_sequences else last, [last, *cells]


def _marked(layer: Recurrence, inputs: list[Any]) -> States:
    shapes = [[None, layer.steps, layer.units], *[[None, layer.units]] * (len(layer.roles) - 1)]
    marked = tf.raw_ops.PyFuncStateless(
        input=inputs, token=f"{MARKER}:{layer.name}", Tout=[tf.float32] * len(shapes)
    )
    return [tf.ensure_shape(t, shape) for t, shape in zip(marked, shapes, strict=True)]
