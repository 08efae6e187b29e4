"""The programs of `encode` and `decode`: parts of the whole model's program.

    whole program --cut at the memory and at the initial states--> encode, decode

The cut is that of the export (`keras/splitting.py`), which names calls of layers. This module finds
the values of the program for these calls.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from rnn_deploy.c.attention import stored_mask_node
from rnn_deploy.c.ir import (
    AttentionNode,
    CellNode,
    Node,
    Program,
    StoredMaskNode,
    Value,
    used_nodes,
)
from rnn_deploy.c.reading import ReadGraph, input_value
from rnn_deploy.c.refusal import NotInCError
from rnn_deploy.formats.read_model import SplitPlan
from rnn_deploy.keras.splitting import MemoryTensor
from rnn_deploy.spec import StateKey


@dataclass(frozen=True)
class Halves:
    """The programs of both sides. states: of the decoder, in the order of its entry point."""

    encode: Program
    decode: Program
    states: tuple[StateKey, ...]


def halves_of(read: ReadGraph, plan: SplitPlan) -> Halves:
    """Return the programs of encode and decode; raise NotInCError if C has no such parts."""
    memory = _Memory(read)
    program, split = read.program, plan.split
    entry = plan.decode.entry
    given = {t.name: t for t in entry.inputs}
    cut = {}
    for part in split.memory:
        old = memory.value_of(part)
        cut[id(old)] = old if not part.places else input_value(given[part.name])
    decoder = tuple(_replaced(node, cut, split.initial.values()) for node in memory.nodes)
    targets = [value for value in program.inputs if value.name in split.targets]
    outputs = tuple(program.outputs[i] for i in split.decoder_outputs)
    decode = replace(
        program,
        inputs=(*targets, *(cut[id(memory.value_of(part))] for part in split.memory)),
        outputs=outputs,
        nodes=used_nodes(decoder, tuple(value for _, value in outputs)),
    )
    made = [memory.value_of(part) for part in split.memory if part.places]
    made += [_initial(program, key) for keys in split.initial.values() for key in keys]
    made += [program.outputs[i][1] for i in split.encoder_outputs]
    names = [tensor.name for tensor in plan.encode.entry.outputs]
    encode = replace(
        program,
        inputs=tuple(value for value in program.inputs if value.name in split.sources),
        outputs=tuple(zip(names, made, strict=True)),
        nodes=used_nodes(memory.nodes, tuple(made)),
    )
    for half, name in ((encode, "encode"), (decode, "decode")):
        _check(half, name)
    return Halves(encode, decode, tuple(state.key for state in entry.states))


class _Memory:
    """The values of the program behind the memory. nodes: the program's, and masks kept."""

    def __init__(self, read: ReadGraph) -> None:
        self._made = read.made
        self._inputs = {value.name: value for value in read.program.inputs}
        nodes = read.program.nodes
        self._stored = {id(node.x): node.y for node in nodes if isinstance(node, StoredMaskNode)}
        self._masks = read.masks
        self.nodes: tuple[Node, ...] = nodes

    def value_of(self, part: MemoryTensor) -> Value:
        """Return the value of the program for a tensor of the memory."""
        if not part.places:
            return self._inputs[part.name]
        if part.output is None:
            return self._mask_of(part)
        place = part.places[0]
        found = self._made.get((place.path, place.count), ())
        value = found[part.output] if part.output < len(found) else None
        if not isinstance(value, Value):
            raise NotInCError(
                f"the memory '{part.name}' is made inside of layer '{place.path[-2]}'"
            )
        return value

    def _mask_of(self, part: MemoryTensor) -> Value:
        known = (self._masks.get((place.path, place.count)) for place in part.places)
        mask = next((mask for mask in known if isinstance(mask, Value)), None)
        if mask is None:
            raise NotInCError(f"no layer of the C target has the mask '{part.name}'")
        if any(mask is value for value in self._inputs.values()):
            return mask
        if id(mask) not in self._stored:
            node = stored_mask_node(mask, part.name)
            self.nodes = (*self.nodes, node)
            self._stored[id(mask)] = node.y
        return self._stored[id(mask)]


def _replaced(
    node: Node, cut: Mapping[int, Value], initial: Collection[tuple[StateKey, ...]]
) -> Node:
    """Return a node that reads the memory and starts from the caller's states."""
    inputs = tuple(cut.get(id(value), value) for value in node.inputs)
    if isinstance(node, AttentionNode) and node.value_mask is not None:
        mask = cut.get(id(node.value_mask), node.value_mask)
        return replace(node, inputs=inputs, value_mask=mask)
    if isinstance(node, CellNode) and node.initial:
        keys = [(node.cell.name, role) for role in node.cell.roles]
        if any(key in states for states in initial for key in keys):
            return replace(node, inputs=inputs[: -len(node.initial)], initial=())
        return replace(node, inputs=inputs, initial=tuple(cut.get(id(v), v) for v in node.initial))
    return replace(node, inputs=inputs)


def _initial(program: Program, key: StateKey) -> Value:
    layer, role = key
    for node in program.cells:
        if node.cell.name == layer and node.initial:
            return node.initial[node.cell.roles.index(role)]
    raise NotInCError(f"layer '{layer}' starts from no state that the C target knows")


def _check(half: Program, name: str) -> None:
    """Raise NotInCError if a part reads a value that neither it nor its caller has."""
    known = {id(value) for value in half.inputs}
    for node in half.nodes:
        for value in node.inputs:
            if id(value) not in known:
                raise NotInCError(f"layer '{node.layer}' of {name} reads '{value.name}'")
        known |= {id(value) for value in node.outputs}
    for output, value in half.outputs:
        if id(value) not in known:
            raise NotInCError(f"'{output}' of {name} is not computed there")
