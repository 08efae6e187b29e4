"""The graph of a traced model: the inputs on which each operation depends, and recurrent calls.

Only `splitting` uses it, to find the decoder's side of a model.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.keras.signature import Signature
from rnn_deploy.keras.tracing import MARKER
from rnn_deploy.spec import Called, layers_of

# The result of these operations depends on the shape of their input, not on its values.
_OF_SHAPE = ("Shape", "Size", "Rank", "ZerosLike", "OnesLike", "ShapeN")


@dataclass(frozen=True)
class WhyWhole:
    """The reason why a model is not split. reason: empty for a model without a decoder."""

    reason: str


class TracedCalls:
    """The graph of a traced model: the inputs on which each operation depends.

    everything: values or shapes of inputs, by the operation's name. values: only values.
    markers: the operations in place of the recurrent calls, by index.
    """

    def __init__(self, traced: Any, signature: Signature, calls: Sequence[Called]) -> None:
        self.names = [tensor.name for tensor in signature.inputs]
        inputs = {
            tensor.op.name: frozenset({name})
            for name, tensor in zip(self.names, traced.inputs, strict=False)
        }
        self.inputs = {op: next(iter(name)) for op, name in inputs.items()}
        self.calls = calls
        self.everything: dict[str, frozenset[str]] = {}
        self.values: dict[str, frozenset[str]] = {}
        self.markers: dict[int, Any] = {}
        for op in traced.graph.get_operations():
            before = [tensor.op.name for tensor in op.inputs]
            own = inputs.get(op.name, frozenset())
            self.everything[op.name] = own.union(*(self.everything[name] for name in before))
            of_shape = op.type in _OF_SHAPE
            depends = () if of_shape else (self.values[name] for name in before)
            self.values[op.name] = own.union(*depends)
            if op.type == "PyFuncStateless":
                token = op.get_attr("token").decode()
                self.markers[int(token.removeprefix(f"{MARKER}:"))] = op

    def initial_states(self, index: int) -> list[Any]:
        """Return the initial states that the model computes for a recurrent call."""
        layers = layers_of(self.calls[index])
        if not layers[0].initial_state:
            return []
        count = sum(len(layer.state_shapes) for layer in layers)
        return list(self.markers[index].inputs)[1 : 1 + count]

    def targets(self) -> tuple[str, ...] | WhyWhole:
        """Return the inputs that lead only to sequences of layers with a computed state."""
        found: set[str] = set()
        sources: set[str] = set()
        why = ""
        for index, op in self.markers.items():
            states = self.initial_states(index)
            computed = set().union(*(self.values[t.op.name] for t in states))
            sequence = self.values[op.inputs[0].op.name] - computed
            name = layers_of(self.calls[index])[0].name
            if not computed or layers_of(self.calls[index])[0].within_step:
                continue
            if not sequence:
                inputs = " and ".join(f"'{each}'" for each in sorted(computed))
                why = (
                    f"layer '{name}' and its initial state both depend on {inputs} alone, so there"
                    " is no target to feed step by step; one call of the model returns every step"
                )
                continue
            if all(t.op.name in self.inputs for t in states):
                continue  # the model already is a decoder
            found |= sequence
            sources |= computed
        if not found:
            return WhyWhole(why)
        if found & sources:
            both = " and ".join(f"'{name}'" for name in sorted(found & sources))
            return WhyWhole(f"input {both} belongs to the source and to the target")
        return tuple(name for name in self.names if name in found)

    def behind(self, targets: Collection[str]) -> set[str]:
        """Return the operations that depend on one of the targets."""
        wanted = set(targets)
        return {name for name, inputs in self.everything.items() if inputs & wanted}

    def read_by(self, decoder: set[str], outputs: Sequence[Any]) -> list[Any]:
        """Return the tensors of the source side that the decoder reads for these outputs."""
        skipped = {
            (op.name, place)
            for index, op in self.markers.items()
            if op.name in decoder
            for place in range(1, 1 + len(self.initial_states(index)))
        }
        read: dict[str, Any] = {}
        waiting, seen = [tensor.op for tensor in outputs], set()
        while waiting:
            op = waiting.pop()
            if op.name in seen:
                continue
            seen.add(op.name)
            for place, tensor in enumerate(op.inputs):
                if (op.name, place) in skipped:
                    continue
                if tensor.op.name in decoder:
                    waiting.append(tensor.op)
                elif self.everything[tensor.op.name]:
                    read[tensor.name] = tensor
        return list(read.values())
