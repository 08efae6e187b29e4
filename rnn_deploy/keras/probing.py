"""Probing traces: each symbol of the signature gets a size that no model has by itself.

An output dimension of that size is that symbol. If a recurrent layer has so many rows, its rows are
steps. If a model refuses the sizes, some of them must be equal.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.signature import Signature
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.keras.tracing import Trace, traced_markers
from rnn_deploy.spec import BidirectionalLayers, Called, Dim, Stack, TensorSpec, layers_of

# Sizes that no model has by itself, to recognise a symbol in an output's shape.
_PROBES = (1009, 2003, 3001, 4001, 5003, 6007, 7001, 8009, 9001)


@dataclass(frozen=True)
class Folded:
    """A call of a recurrent layer whose rows are not the model's sequences.

    rows: the number of rows for each sequence; None if they include the steps, so that the layer
    starts anew at each step.
    """

    index: int
    layer: str
    rows: float | None


def output_specs(model: Any, trace: Trace) -> tuple[tuple[TensorSpec, ...], tuple[Folded, ...]]:
    """Return the outputs with named dimensions, and the calls whose rows are not sequences.

    The model is traced once more with a unique size for each symbol: an output dimension of that
    size is that symbol, and any other open dimension gets a new symbol.
    """
    sizes = dict(zip(trace.signature.symbols, _PROBES, strict=False))
    rows: dict[int, int | None] = {}
    shapes = _probe(model, trace.signature, sizes, rows) or trace.output_shapes
    symbols = {size: symbol for symbol, size in sizes.items()}
    named = []
    for name, tensor, probed in zip(
        trace.signature.output_names, trace.graph.outputs, shapes, strict=True
    ):
        dims = tuple(
            open_dim if open_dim is not None else symbols.get(size or -1, f"{name}_axis{axis}")
            for axis, (open_dim, size) in enumerate(zip(tensor.shape, probed, strict=True))
        )
        named.append(TensorSpec(name, dims, tensor.dtype.name))
    return tuple(named), tuple(_folded(trace, rows, sizes))


def _folded(
    trace: Trace, rows: Mapping[int, int | None], sizes: Mapping[str, int]
) -> Iterator[Folded]:
    """Yield the calls whose rows are not the model's sequences, by the sizes of a probe."""
    batch = trace.signature.inputs[0].shape[0]
    size = sizes[batch] if isinstance(batch, str) else batch
    others = [value for symbol, value in sizes.items() if symbol != batch]
    for index, found in rows.items():
        called = trace.calls.get(index)
        if called is None or found is None or found == size or layers_of(called)[0].within_step:
            continue
        steps = any(found % other == 0 for other in others)
        yield Folded(index, layers_of(called)[0].name, None if steps else found / size)


def within_steps(trace: Trace, folded: Sequence[Folded]) -> Trace:
    """Return the trace; calls whose rows are steps are marked as running within each step."""
    indices = {call.index for call in folded if call.rows is None}

    def marked(stack: Stack) -> Stack:
        return tuple(replace(layer, within_step=True) for layer in stack)

    def of(called: Called) -> Called:
        if isinstance(called, BidirectionalLayers):
            forward, backward = marked(called.forward), marked(called.backward)
            return replace(called, forward=forward, backward=backward)
        return marked(called)

    calls = {i: of(called) if i in indices else called for i, called in trace.calls.items()}
    return replace(trace, calls=calls) if indices else trace


def takes_lengths(model: Any, signature: Signature) -> bool:
    """Return whether the model runs if each symbol of the signature has a different size."""
    sizes = dict(zip(signature.symbols, _PROBES, strict=False))
    return _probe(model, signature, sizes) is not None


def used_dtypes(trace: Trace) -> dict[str, str]:
    """Return the dtype to which all uses of a float input cast it, for inputs with such a dtype.

    A token id is cast to int32 for its Embedding, a mask to bool.
    """
    used = {}
    for tensor, value in zip(trace.signature.inputs, trace.graph.inputs, strict=False):
        kinds = {
            reader.get_attr("DstT") if reader.type == "Cast" else None
            for reader in value.consumers()
        }
        ids = tensor.name in trace.facts and trace.facts[tensor.name].below is not None
        if tensor.dtype == "float32" and kinds == {tf.bool}:
            used[tensor.name] = "bool"
        elif tensor.dtype == "float32" and ids and tf.int32 in kinds:
            used[tensor.name] = "int32"
    return used


def _probe(
    model: Any,
    signature: Signature,
    sizes: Mapping[str, int],
    rows: dict[int, int | None] | None = None,
) -> list[list[int | None]] | None:
    def sized(dim: Dim) -> Dim:
        return sizes[dim] if isinstance(dim, str) and dim in sizes else dim

    inputs = (replace(t, shape=tuple(map(sized, t.shape))) for t in signature.inputs)
    try:
        traced = traced_markers(model, replace(signature, inputs=tuple(inputs)), [], rows)
    except UnsupportedModelError:
        return None
    # Not frozen: TensorFlow would fold constants of the probing sizes, which take gigabytes.
    return [tensor.shape.as_list() for tensor in traced.outputs]
