"""One call of a recurrent layer in ONNX: a stack of layers, or the two stacks of a Bidirectional.

    marker's inputs (sequence, initial states, mask)  -->  outputs, final states

Each layer is written by its chosen lowering. Two halves that are alike and native become one
operator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rnn_deploy.keras.intercept import unused
from rnn_deploy.onnx import bidirectional as onnx_bidirectional
from rnn_deploy.onnx.choice import ONNX_LOWERINGS
from rnn_deploy.onnx.ops import DType, NodeWriter, flip
from rnn_deploy.spec import BidirectionalLayers, Called, Stack, StateKey, layers_of, state_keys

States = Sequence[ir.Value]


@dataclass(frozen=True)
class LoweredCall:
    """A lowered call: its outputs, its final states in order, and all nodes."""

    outputs: tuple[ir.Value, ...]
    finals: dict[StateKey, ir.Value]
    written: tuple[NodeWriter, ...]


def lower_call(
    called: Called,
    lowerings: Mapping[str, str],
    inputs: Sequence[ir.Value],
    given: Mapping[StateKey, ir.Value],
    prefixes: set[str] | None = None,
) -> LoweredCall:
    """Lower a call.

    lowerings: by layer; inputs: the marker's; given: states of a stream. prefixes: the prefixes of
    names in the graph so far; the call adds its own.
    """
    x, *own = inputs
    layers = layers_of(called)
    mask = own.pop() if layers[0].masked else None
    of_model = iter(own)
    initial: dict[str, States | None] = {}
    for layer in layers:
        if layer.initial_state:
            initial[layer.name] = [next(of_model) for _ in layer.roles]
        else:
            free = [given[key] for key in state_keys((layer,)) if key in given]
            initial[layer.name] = free or None
    call = _CallWriter(lowerings, initial, set() if prefixes is None else prefixes)
    if isinstance(called, BidirectionalLayers):
        outputs = call.pair(called, x, mask)
    else:
        outputs = (call.stack(called, x, mask),)
    return LoweredCall(outputs, call.finals, tuple(call.written))


class _CallWriter:
    """Writes layers one after the other and collects their final states."""

    def __init__(
        self,
        lowerings: Mapping[str, str],
        initial: Mapping[str, States | None],
        prefixes: set[str],
    ) -> None:
        self.finals: dict[StateKey, ir.Value] = {}
        self.written: list[NodeWriter] = []
        self._lowerings, self._initial, self._prefixes = lowerings, initial, prefixes

    def stack(self, stack: Stack, x: ir.Value, mask: ir.Value | None) -> ir.Value:
        for layer in stack:
            ops = self._ops(layer.name, layer.dtype)
            lowering = ONNX_LOWERINGS[self._lowerings[layer.name]]
            lowered = lowering.lower(ops, layer, x, self._initial[layer.name], mask)
            self._keep(stack=(layer,), states=lowered.states)
            x = lowered.output
            if mask is not None and layer.go_backwards:
                mask = flip(ops, mask, axis=1)  # the next layer runs over the steps in this order
        return x

    def pair(
        self, pair: BidirectionalLayers, x: ir.Value, mask: ir.Value | None
    ) -> tuple[ir.Value, ...]:
        if onnx_bidirectional.fits(pair, self._lowerings):
            return self._fused(pair, x)
        forward = self.stack(pair.forward, x, mask)
        backward = self.stack(pair.backward, x, mask)
        ops = self._ops(pair.name, pair.forward[-1].dtype)
        if pair.backward[-1].return_sequences:
            backward = flip(ops, backward, axis=1)
        return onnx_bidirectional.merge(ops, pair.merge, forward, backward)

    def _fused(self, pair: BidirectionalLayers, x: ir.Value) -> tuple[ir.Value, ...]:
        ops = self._ops(pair.name, pair.forward[0].dtype)
        halves = (*pair.forward, *pair.backward)
        states = [self._initial[layer.name] for layer in halves]
        outputs, finals = onnx_bidirectional.lower(ops, pair, x, states)
        self._keep(halves, finals)
        return outputs

    def _ops(self, name: str, dtype: DType) -> NodeWriter:
        prefix = unused(name, self._prefixes)
        self._prefixes.add(prefix)
        self.written.append(NodeWriter(prefix, dtype))
        return self.written[-1]

    def _keep(self, stack: Stack, states: States) -> None:
        self.finals |= dict(zip(state_keys(stack), states, strict=True))
