"""Faults planted in an ONNX file of the gated model: each a change of the graph in place.

FAULTS[name](model) -> whether the fault could be planted
"""

import re
from collections.abc import Callable

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

GATES = {"gru": 3, "lstm": 4}
UNITS = {"gru": 4, "lstm": 3}


def weights(model: ModelProto, pattern: str, change: Callable) -> bool:
    """Change every initialiser, in loops' bodies too, whose whole name is like `pattern`."""
    found = [w for w in model.graph.initializer if re.fullmatch(pattern, w.name)]
    for weight in found:
        value = change(numpy_helper.to_array(weight).copy())
        weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    return bool(found)


def nodes(model: ModelProto) -> list[NodeProto]:
    """Every node, in loops' bodies too."""
    found = list(model.graph.node)
    for node in model.graph.node:
        for attribute in node.attribute:
            found += attribute.g.node
    return found


class After:
    """Nodes put between a tensor and all that reads it."""

    def __init__(self, model: ModelProto, tensor: str) -> None:
        self.graph, self.tensor, self.number = model.graph, tensor, 0
        self.raw = f"{tensor}/raw"
        self.added: list[NodeProto] = []

    def constant(self, value) -> str:
        self.number += 1
        name = f"{self.tensor}/k{self.number}"
        self.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
        return name

    def __call__(self, op: str, *inputs: str, **attributes) -> str:
        self.number += 1
        name = f"{self.tensor}/n{self.number}"
        self.added.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def done(self, result: str) -> bool:
        """Readers of the tensor read `result`; if it is an output of the graph, that is given."""
        added = [name for node in self.added for name in node.output]
        self.added.append(helper.make_node("Identity", [result], [self.tensor]))
        made_by = [i for i, node in enumerate(self.graph.node) if self.tensor in node.output]
        is_input = self.tensor in [value.name for value in self.graph.input]
        if not made_by and not is_input:
            return False
        if is_input:  # the graph's input keeps its name, its readers get the other
            self.added[-1].output[0] = f"{self.tensor}/changed"
            for node in self.graph.node:
                new = [f"{self.tensor}/changed" if i == self.tensor else i for i in node.input]
                node.input[:] = new
            for node in self.added:
                node.input[:] = [self.tensor if i == self.raw else i for i in node.input]
        else:
            for node in self.graph.node:
                node.output[:] = [self.raw if o == self.tensor else o for o in node.output]
        at = made_by[0] + 1 if made_by else 0
        rest = list(self.graph.node)
        del self.graph.node[:]
        self.graph.node.extend([*rest[:at], *self.added, *rest[at:]])
        return bool(added) or result != self.raw


def element(pattern):
    """One weight 1% larger: the one of middling size."""

    def change(value):
        order = np.argsort(np.abs(value), axis=None)
        value.flat[order[len(order) // 2]] *= np.float32(1.01)
        return value

    return lambda model: weights(model, pattern, change)


def _by_gates(change, layer):
    """A change of one layer's gates, whichever axis of a weight holds them."""
    g, units = GATES[layer], UNITS[layer]

    def changed(value):
        axis = next(a for a in reversed(range(value.ndim)) if value.shape[a] % (g * units) == 0)
        parts = np.split(value, value.shape[axis] // units, axis=axis)
        return np.concatenate(change(parts), axis=axis)

    return changed


def swapped_gates(model):
    def swap(parts):
        return [
            parts[k + 1 if k % 4 == 0 else k - 1 if k % 4 == 1 else k] for k in range(len(parts))
        ]

    return weights(model, "lstm/[WRBb]", _by_gates(swap, "lstm"))


def transposed(model):
    def turn(parts):
        return [np.swapaxes(part, -1, -2) for part in parts]

    return weights(model, "lstm/R", _by_gates(turn, "lstm"))


def no_bias(model):
    return weights(model, "lstm/[Bb]", np.zeros_like)


def in_half_precision(model):
    return weights(model, "lstm/[WR]", lambda v: v.astype(np.float16).astype(np.float32))


def softsign(model):
    """The LSTM's tanh is softsign."""
    found = False
    for node in nodes(model):
        if node.op_type == "LSTM":
            (given,) = (a for a in node.attribute if a.name == "activations")
            given.strings[:] = [b"Sigmoid", b"Softsign", b"Tanh"]
            found = True
        elif node.op_type == "Tanh" and node.name == "lstm/Tanh":
            node.op_type, found = "Softsign", True
    return found


def slope(model):
    """The hard sigmoid's slope is Keras 2's."""
    found = False
    for node in nodes(model):
        for a in node.attribute:
            if a.name == "alpha" and node.op_type == "HardSigmoid":
                a.f, found = 0.2, True
            if a.name == "activation_alpha" and node.op_type == "GRU":
                a.floats[0], found = 0.2, True
    return found


def clipped_inside(model):
    """Clip the inputs of the GRU's activations at 5."""
    found = [node for node in nodes(model) if node.op_type == "GRU"]
    for node in found:
        node.attribute.append(helper.make_attribute("clip", 5.0))
    return bool(found)


def backwards(model):
    found = False
    for node in model.graph.node:
        if node.op_type == "LSTM":
            (given,) = (a for a in node.attribute if a.name == "direction")
            given.s, found = b"reverse", True
    return found


def _mask(model):
    """The tensor (batch, time) that says which steps count; Masking makes another for itself."""
    found = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Greater" and "Any_ReduceSum" in node.input[0]
    ]
    (mask,) = (name for name in found if name in _read_by_layers(model))
    return mask


def _read_by_layers(model):
    """The tensors that nodes of the GRU or the LSTM read, whatever operator they are."""
    return {
        name
        for node in model.graph.node
        if node.name.startswith(("gru/", "lstm/"))
        for name in node.input
    }


def mask_or(true_where):
    """The mask, true besides where a function of `After` says."""

    def plant(model):
        after = After(model, _mask(model))
        return after.done(after("Or", after.raw, true_where(after)))

    return plant


def _at(axis, index):
    """Where an axis of the mask is at an index (from its end, if negative)."""

    def where(after):
        size = after("Gather", after("Shape", after.raw), after.constant(np.int64(axis)), axis=0)
        begin, step = after.constant(np.int64(0)), after.constant(np.int64(1))
        places = after("Range", begin, size, step)
        wanted = after.constant(np.int64(index))
        if index < 0:
            wanted = after("Add", size, wanted)
        here = after("Equal", places, wanted)
        return after("Unsqueeze", here, after.constant(np.array([1 - axis], np.int64)))

    return where


def changed(tensor, *ops):
    """A tensor behind (operator, constants) one after the other."""

    def plant(model):
        after = After(model, tensor)
        value = after.raw
        for op, *constants in ops:
            value = after(op, value, *(after.constant(np.float32(c)) for c in constants))
        return after.done(value)

    return plant


def late(model):
    """Every step sees the input of the step before it; the first its own."""
    if any(node.op_type == "Squeeze" and "masking" in node.input[0] for node in model.graph.node):
        return False  # one step alone
    after = After(model, "x")
    zero, one, last = (after.constant(np.array([k], np.int64)) for k in (0, 1, -1))
    first = after("Slice", after.raw, zero, one, one)
    rest = after("Slice", after.raw, zero, last, one)
    return after.done(after("Concat", first, rest, axis=1))


def exchanged(a, b):
    """Two outputs leave in each other's place."""

    def plant(model):
        names = {a: b, b: a}
        if not {a, b} <= {value.name for value in model.graph.output}:
            return False
        given = [(f"{n}/own", n) for n in names]
        for node in model.graph.node:
            node.input[:] = [f"{i}/own" if i in names else i for i in node.input]
            node.output[:] = [f"{o}/own" if o in names else o for o in node.output]
        for own, name in given:
            model.graph.node.append(helper.make_node("Identity", [own], [names[name]]))
        return True

    return plant


def entering_exchanged(model):
    names = {"lstm_h_in": "lstm_c_in", "lstm_c_in": "lstm_h_in"}
    for node in model.graph.node:
        node.input[:] = [names.get(i, i) for i in node.input]
    return "lstm_h_in" in [value.name for value in model.graph.input]


def stale(entering, leaving):
    """A state leaves as it came in; what else reads it reads the right one."""

    def plant(model):
        if entering not in [value.name for value in model.graph.input]:
            return False
        for node in model.graph.node:
            node.input[:] = [f"{i}/own" if i == leaving else i for i in node.input]
            node.output[:] = [f"{o}/own" if o == leaving else o for o in node.output]
        model.graph.node.append(helper.make_node("Identity", [entering], [leaving]))
        return True

    return plant


def only_row(row, tensor, op, constant):
    """A tensor (batch, ...) behind an operator in one row alone."""

    def plant(model):
        after = After(model, tensor)
        if tensor not in [value.name for value in (*model.graph.input, *model.graph.output)]:
            return False
        rows = after("Gather", after("Shape", after.raw), after.constant(np.int64(0)), axis=0)
        begin, step = after.constant(np.int64(0)), after.constant(np.int64(1))
        here = after("Equal", after("Range", begin, rows, step), after.constant(np.int64(row)))
        here = after("Unsqueeze", here, after.constant(np.array([1], np.int64)))
        other = after(op, after.raw, after.constant(np.float32(constant)))
        return after.done(after("Where", here, other, after.raw))

    return plant


FAULTS = {
    "an element of the input kernel +1%": element("lstm/W"),
    "an element of the recurrent kernel +1%": element("lstm/R"),
    "an element of the other layer's recurrent kernel +1%": element("gru/R(_h)?"),
    "an element of the dense kernel +1%": element("y/Cast/.*"),
    "gates i and o (of the step i and f) swapped": swapped_gates,
    "recurrent kernel transposed": transposed,
    "bias dropped": no_bias,
    "weights in float16": in_half_precision,
    "tanh replaced by softsign": softsign,
    "hard sigmoid of Keras 2": slope,
    "gates' input clipped at 5": clipped_inside,
    "direction flipped": backwards,
    "mask ignored": mask_or(lambda after: after.constant(True)),
    "mask ignored in row 5": mask_or(_at(0, 5)),
    "mask ignored in row 16": mask_or(_at(0, 16)),
    "mask ignored at the last step": mask_or(_at(1, -1)),
    "inputs a step late": late,
    "h and c leave exchanged": exchanged("lstm_h_out", "lstm_c_out"),
    "h and c enter exchanged": entering_exchanged,
    "h leaves as it came": stale("lstm_h_in", "lstm_h_out"),
    "c leaves as it came": stale("lstm_c_in", "lstm_c_out"),
    "initial h zeroed": changed("lstm_h_in", ("Mul", 0.0)),
    "initial c zeroed": changed("lstm_c_in", ("Mul", 0.0)),
    "the first layer's initial h zeroed": changed("gru_h_in", ("Mul", 0.0)),
    "initial c zeroed in row 5": only_row(5, "lstm_c_in", "Mul", 0.0),
    "c clipped at 3 on its way in": changed("lstm_c_in", ("Clip", -3.0, 3.0)),
    "c clipped at 3 on its way out": changed("lstm_c_out", ("Clip", -3.0, 3.0)),
    "h clipped at 1 on its way in": changed("lstm_h_in", ("Clip", -1.0, 1.0)),
    "c scaled by 1.0001": changed("lstm_c_out", ("Mul", 1.0001)),
    "output scaled by 1.0001": changed("y", ("Mul", 1.0001)),
    "output clipped at 1.5": changed("y", ("Clip", -1.5, 1.5)),
}
