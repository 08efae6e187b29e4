"""Read Keras layers other than recurrent ones as nodes: one reader for each kind of layer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnn_deploy.c.ir import (
    ActivationNode,
    AllMasksNode,
    ConvNode,
    DenseNode,
    Float,
    KeepNode,
    LookupNode,
    MergeNode,
    NormaliseNode,
    ScaleNode,
    Value,
)
from rnn_deploy.c.refusal import Graph, NotInCError, OpCall, float_value
from rnn_deploy.keras.reading import activation_name
from rnn_deploy.keras.tensorflow import keras

Reader = Callable[[OpCall, Graph], Sequence[Any]]
SOFTMAX = "softmax"
UNKNOWN = "?"  # the time of a refused value


def same_value(call: OpCall, size: int, time: str | None) -> Value:
    """Return a new float32 value named after the call's layer."""
    return Value(call.name, size, time)


def array(weight: Any) -> Float:
    """Return a weight as float32."""
    return np.asarray(weight, np.float32)


def function_name(function: Any) -> str:
    """Return the name of an activation; raise NotInCError for one that is not Keras' own."""
    if function in (keras.activations.softmax, keras.ops.softmax):
        return SOFTMAX
    name = activation_name(function)
    if name is None:
        called = getattr(function, "__name__", type(function).__name__)
        raise NotInCError(f"has the activation {called}, which is not one of Keras' own")
    return name


def _dense(call: OpCall, graph: Graph) -> Sequence[Any]:
    x, layer = call.x, call.op
    bias = array(layer.bias) if layer.use_bias else None
    return graph.add(
        DenseNode(
            layer=call.name,
            inputs=(x,),
            outputs=(same_value(call, int(layer.units), x.time),),
            kernel=array(layer.kernel),
            bias=bias,
            activation=function_name(layer.activation),
        )
    )


def _embedding(call: OpCall, graph: Graph) -> Sequence[Any]:
    ids = call.args[0]
    if not isinstance(ids, Value) or ids.dtype == "bool" or ids.time is None or ids.size != 1:
        raise NotInCError("looks up values that are not token ids of the shape (batch, time)")
    table = array(call.op.embeddings)
    output = same_value(call, int(table.shape[1]), ids.time)
    return graph.add(LookupNode(layer=call.name, inputs=(ids,), outputs=(output,), table=table))


def activated(call: OpCall, graph: Graph, name: str, slope: Float | None = None) -> Sequence[Any]:
    """Add one activation, element by element, or a softmax over the features."""
    x = call.x
    output = same_value(call, x.size, x.time)
    return graph.add(
        ActivationNode(
            layer=call.name, inputs=(x,), outputs=(output,), activation=name, slope=slope
        )
    )


def _activation(call: OpCall, graph: Graph) -> Sequence[Any]:
    return activated(call, graph, function_name(call.op.activation))


def _activation_layer(call: OpCall, graph: Graph) -> Sequence[Any]:
    name = activation_name(call.op)
    if name is None:
        raise NotInCError(
            f"is a {type(call.op).__name__} with parameters that the C target does not support"
        )
    return activated(call, graph, name)


def _leaky_relu(call: OpCall, graph: Graph) -> Sequence[Any]:
    slope = np.full(call.x.size, call.op.negative_slope, np.float32)
    return activated(call, graph, "slope", slope)


def _prelu(call: OpCall, graph: Graph) -> Sequence[Any]:
    alpha = array(call.op.alpha)
    if alpha.size not in (1, call.x.size):
        raise NotInCError("has a slope for each step", "give it shared_axes=[1]")
    return activated(call, graph, "slope", np.broadcast_to(alpha.reshape(-1), call.x.size).copy())


def _softmax(call: OpCall, graph: Graph) -> Sequence[Any]:
    _only_last_axis(call, call.op.axis)
    if call.given(1, "mask") is not None:
        raise NotInCError("is a Softmax with a mask")
    return activated(call, graph, SOFTMAX)


def _only_last_axis(call: OpCall, axis: Any) -> None:
    rank = 2 if call.x.time is None else 3
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    if axes not in ([-1], [rank - 1]):
        raise NotInCError(f"works along axis {axis}, expected the last one")


def _layer_norm(call: OpCall, graph: Graph) -> Sequence[Any]:
    layer, x = call.op, call.x
    _only_last_axis(call, layer.axis)
    if getattr(layer, "rms_scaling", False):
        raise NotInCError("is a LayerNormalization with rms_scaling")
    return graph.add(
        NormaliseNode(
            layer=call.name,
            inputs=(x,),
            outputs=(same_value(call, x.size, x.time),),
            gamma=None if layer.gamma is None else array(layer.gamma),
            beta=None if layer.beta is None else array(layer.beta),
            epsilon=float(layer.epsilon),
        )
    )


def _batch_norm(call: OpCall, graph: Graph) -> Sequence[Any]:
    layer, x = call.op, call.x
    _only_last_axis(call, layer.axis)
    mean, variance = (np.asarray(w, np.float64) for w in (layer.moving_mean, layer.moving_variance))
    scale = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma, np.float64)
    offset = -mean * scale
    if layer.center:
        offset = offset + np.asarray(layer.beta, np.float64)
    return graph.add(
        ScaleNode(
            layer=call.name,
            inputs=(x,),
            outputs=(same_value(call, x.size, x.time),),
            scale=scale.astype(np.float32),
            offset=offset.astype(np.float32),
        )
    )


def _conv(call: OpCall, graph: Graph) -> Sequence[Any]:
    layer, x = call.op, call.x
    stride, dilation = (int(v[0]) for v in (layer.strides, layer.dilation_rate))
    if layer.padding != "causal":
        raise NotInCError(f"is a Conv1D with padding '{layer.padding}'", "use padding='causal'")
    if stride != 1 or layer.groups != 1 or layer.data_format != "channels_last" or x.time is None:
        raise NotInCError("is a Conv1D with strides, groups, or channels first")
    return graph.add(
        ConvNode(
            layer=call.name,
            inputs=(x,),
            outputs=(same_value(call, int(layer.filters), x.time),),
            kernel=array(layer.kernel),
            bias=array(layer.bias) if layer.use_bias else None,
            activation=function_name(layer.activation),
            dilation=dilation,
        )
    )


def merged(call: OpCall, graph: Graph, kind: str, values: Sequence[Value]) -> Sequence[Any]:
    """Merge values with the same time."""
    values = [float_value(value) for value in values]
    if len({value.time for value in values} - {UNKNOWN}) > 1:
        raise NotInCError("combines values with and without time, or of different lengths")
    sizes = {value.size for value in values}
    if kind != "concat" and len(sizes - {1}) > 1:
        raise NotInCError(f"combines values of different sizes {sorted(sizes)}")
    size = sum(value.size for value in values) if kind == "concat" else max(sizes)
    output = same_value(call, size, values[0].time)
    return graph.add(MergeNode(layer=call.name, inputs=tuple(values), outputs=(output,), kind=kind))


def _merge(kind: str) -> Reader:
    def read(call: OpCall, graph: Graph) -> Sequence[Any]:
        return merged(call, graph, kind, call.args[0])

    return read


def concatenated(call: OpCall, graph: Graph, values: Sequence[Any], axis: Any) -> Sequence[Any]:
    """Concatenate values; masks that are widened to features first are joined by "or"."""
    if all(isinstance(v, bool) or (isinstance(v, Value) and v.dtype == "bool") for v in values):
        return either(call, graph, values)
    time = getattr(values[0], "time", None)
    if axis not in (-1, 1 if time is None else 2):
        raise NotInCError(f"concatenates along axis {axis}, expected the last one")
    return merged(call, graph, "concat", list(values))


def either(
    call: OpCall, graph: Graph, masks: Sequence[Any], *, both: bool = False
) -> Sequence[Any]:
    """Return one mask for several: any of them says that a step counts, or (both) all of them do.

    True and False are constant masks, the same at every step.
    """
    if any(mask is not both for mask in masks if isinstance(mask, bool)):
        return (not both,)
    values = [mask for mask in masks if not isinstance(mask, bool)]
    if len({id(value) for value in values}) < 2:
        return (values[0] if values else both,)
    output = Value(call.name, 1, values[0].time, "bool")
    node = AllMasksNode(layer=call.name, inputs=tuple(values), outputs=(output,), any=not both)
    return graph.add(node)


def _concatenate(call: OpCall, graph: Graph) -> Sequence[Any]:
    return concatenated(call, graph, call.args[0], call.op.axis)


def _masking(call: OpCall, graph: Graph) -> Sequence[Any]:
    x = call.x
    node = KeepNode(
        layer=call.name,
        inputs=(x,),
        outputs=(same_value(call, x.size, x.time),),
        value=float(call.op.mask_value),
    )
    return graph.add(node)


def _nothing(call: OpCall, graph: Graph) -> Sequence[Any]:
    """Read a layer that does nothing at inference."""
    return (call.args[0],)


def _time_distributed(call: OpCall, graph: Graph) -> Sequence[Any]:
    inner = call.op.layer
    reader = LAYERS.get(type(inner))
    if reader not in EACH_STEP or call.x.time is None:
        raise NotInCError(f"is a TimeDistributed of {type(inner).__name__}")
    return reader(OpCall(_Renamed(inner, call.name), call.args, {}, call.shapes), graph)


class _Renamed:
    """A layer under another name: the layer inside a TimeDistributed keeps its own name."""

    def __init__(self, layer: Any, name: str) -> None:
        self._layer, self.name = layer, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._layer, attribute)


_L = keras.layers
LAYERS: dict[Any, Reader] = {
    _L.Dense: _dense,
    _L.Embedding: _embedding,
    _L.Activation: _activation,
    _L.ReLU: _activation_layer,
    _L.ELU: _activation_layer,
    _L.LeakyReLU: _leaky_relu,
    _L.PReLU: _prelu,
    _L.Softmax: _softmax,
    _L.LayerNormalization: _layer_norm,
    _L.BatchNormalization: _batch_norm,
    _L.Conv1D: _conv,
    _L.Concatenate: _concatenate,
    _L.Add: _merge("add"),
    _L.Subtract: _merge("subtract"),
    _L.Multiply: _merge("multiply"),
    _L.Average: _merge("average"),
    _L.Maximum: _merge("maximum"),
    _L.Minimum: _merge("minimum"),
    _L.Masking: _masking,
    _L.TimeDistributed: _time_distributed,
    **dict.fromkeys(
        (
            *(_L.Dropout, _L.SpatialDropout1D, _L.GaussianDropout, _L.GaussianNoise),
            *(_L.AlphaDropout, _L.ActivityRegularization, _L.Identity),
        ),
        _nothing,
    ),
}
# Readers of layers that treat every step alike.
EACH_STEP = (_dense, _activation, _activation_layer, _leaky_relu, _nothing)
