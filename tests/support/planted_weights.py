"""Faults in the constants and the operators of one model file, and in the names of its tensors."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from tests.support.edits import OnnxEdit
from tests.support.mutants_onnx import nodes
from tests.support.mutants_tflite import CODE

FEWEST = 6  # values of a tensor that counts as a weight
Change = Callable[[np.ndarray, Any], np.ndarray | None]


def constants(edit: Any) -> Iterator[tuple[np.ndarray, Callable[[np.ndarray], None]]]:
    """The float weights of a file or signature, each with a function that replaces it."""
    if isinstance(edit, OnnxEdit):
        for tensor in edit.model.graph.initializer:
            value = numpy_helper.to_array(tensor)
            if value.dtype == np.float32 and value.size >= FEWEST:

                def put(new: np.ndarray, tensor: Any = tensor) -> None:
                    tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))

                yield value.copy(), put
        return
    mutant = edit.mutant
    for graph in mutant.graphs:
        for tensor in graph.tensors:
            data = mutant.model.buffers[tensor.buffer].data
            if data is not None and tensor.type == 0 and len(data) >= 4 * FEWEST:
                value = np.frombuffer(bytes(data), np.float32).reshape(tensor.shape)

                def put(new: np.ndarray, tensor: Any = tensor) -> None:
                    tensor.buffer = mutant._buffer(new.astype(np.float32))

                yield value.copy(), put


def _weight(change: Change) -> Callable[[Any], bool]:
    """Change one weight that the change applies to."""

    def plant(plan: Any) -> bool:
        found = [(value, put) for value, put in constants(plan.edit) if np.ptp(value)]
        plan.rng.shuffle(found)
        for value, put in found:
            new = change(value.copy(), plan.rng)
            if new is not None and not np.array_equal(new, value):
                put(new.astype(np.float32))
                return True
        return False

    return plant


def _element(edit: Callable[[np.float32], float]) -> Change:
    def change(value: np.ndarray, rng: Any) -> np.ndarray:
        index = rng.randrange(value.size)
        value.flat[index] = edit(value.flat[index])
        return value

    return change


def _bit(value: np.ndarray, rng: Any) -> np.ndarray:
    value.reshape(-1).view(np.uint32)[rng.randrange(value.size)] ^= np.uint32(1 << 14)
    return value


def _bfloat16(value: np.ndarray, rng: Any) -> np.ndarray:
    return (value.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _int8(value: np.ndarray, rng: Any) -> np.ndarray:
    step = np.abs(value).max() / 127
    return np.round(value / step) * step


def _matrix(change: Callable[[np.ndarray, Any], np.ndarray | None]) -> Change:
    """A change of the last two axes, where both are longer than one."""

    def changed(value: np.ndarray, rng: Any) -> np.ndarray | None:
        if value.ndim < 2 or min(value.shape[-2:]) < 2:
            return None
        return change(value, rng)

    return changed


def _rows_swapped(value: np.ndarray, rng: Any) -> np.ndarray:
    a, b = rng.sample(range(value.shape[-2]), 2)
    value[..., [a, b], :] = value[..., [b, a], :]
    return value


def _row_zero(value: np.ndarray, rng: Any) -> np.ndarray:
    value[..., rng.randrange(value.shape[-2]), :] = 0
    return value


def _blocks(number: int) -> Change:
    """Two gates of the longer axis exchanged."""

    def change(value: np.ndarray, rng: Any) -> np.ndarray | None:
        axis = value.ndim - 2 + int(np.argmax(value.shape[-2:]))
        if value.shape[axis] % number or value.shape[axis] < 3 * number:
            return None
        parts = np.split(value, number, axis=axis)
        parts[0], parts[1] = parts[1], parts[0]
        return np.concatenate(parts, axis=axis)

    return _matrix(change)


def _transposed(value: np.ndarray, rng: Any) -> np.ndarray:
    return np.swapaxes(value, -1, -2).reshape(value.shape)


def floats() -> dict[str, Callable[[Any], bool]]:
    """Faults in the values of weights."""
    changes: dict[str, Change] = {
        "one + 1e-4": _element(lambda v: v + 1e-4),
        "one x 1.01": _element(lambda v: v * 1.01),
        "one with the other sign": _element(lambda v: -v),
        "one zero": _element(lambda v: 0.0),
        "one bit": _bit,
        "float16": lambda v, rng: v.astype(np.float16).astype(np.float32),
        "bfloat16": _bfloat16,
        "int8": _int8,
        "all x 1.001": lambda v, rng: v * np.float32(1.001),
        "all + 1e-4": lambda v, rng: v + np.float32(1e-4),
        "negative": lambda v, rng: -v,
        "shifted by one": lambda v, rng: np.roll(v.reshape(-1), 1).reshape(v.shape),
        "row zero": _matrix(_row_zero),
        "rows swapped": _matrix(_rows_swapped),
        "gates swapped, of three": _blocks(3),
        "gates swapped, of four": _blocks(4),
        "transposed": _matrix(_transposed),
    }
    return {name: _weight(change) for name, change in changes.items()}


def strongest(plan: Any) -> bool:
    """The largest weight of all is a little larger."""
    found = list(constants(plan.edit))
    if not found:
        return False
    value, put = max(found, key=lambda each: np.abs(each[0]).max())
    value.flat[int(np.argmax(np.abs(value)))] *= np.float32(1.0001)
    put(value)
    return True


def _operators(onnx_name: str, onnx_other: str, code: int, other: int) -> Callable[[Any], bool]:
    """One operator, or one activation of a recurrent operator, is another."""

    def plant(plan: Any) -> bool:
        if not isinstance(plan.edit, OnnxEdit):
            picked: list[Any] = []

            def pick(found: list[Any]) -> list[Any]:
                picked.extend(plan.rng.sample(found, min(1, len(found))))
                return picked

            plan.edit.mutant.codes(code, other, pick)
            return bool(picked)
        places: list[Callable[[], None]] = []
        for node in nodes(plan.edit.model):
            if node.op_type == onnx_name:
                places.append(lambda node=node: setattr(node, "op_type", onnx_other))
            for attribute in node.attribute:
                if attribute.name == "activations":
                    for i, name in enumerate(attribute.strings):
                        if name == onnx_name.encode():
                            places.append(
                                lambda a=attribute, i=i: a.strings.__setitem__(
                                    i, onnx_other.encode()
                                )
                            )
        if not places:
            return False
        plan.rng.choice(places)()
        return True

    return plant


def _slope(plan: Any) -> bool:
    """The slope of a hard sigmoid is that of Keras 2."""
    done = False
    if isinstance(plan.edit, OnnxEdit):
        for node in nodes(plan.edit.model):
            for a in node.attribute:
                if a.name == "alpha" and node.op_type == "HardSigmoid":
                    a.f, done = 0.2, True
                if a.name == "activation_alpha" and a.floats:
                    a.floats[0], done = 0.2, True
    return done


def _attribute(operator: str, name: str, value: Any) -> Callable[[Any], bool]:
    """An attribute of a recurrent operator of ONNX is set."""

    def plant(plan: Any) -> bool:
        if not isinstance(plan.edit, OnnxEdit):
            return False
        found = [node for node in nodes(plan.edit.model) if node.op_type == operator]
        for node in found:
            kept = [a for a in node.attribute if a.name != name]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute(name, value)])
        return bool(found)

    return plant


def _fused(plan: Any) -> bool:
    """A product of TFLite is followed by a ReLU."""
    if isinstance(plan.edit, OnnxEdit):
        return False
    found = [
        operator
        for graph in plan.edit.mutant.graphs
        for operator in graph.operators
        if plan.edit.mutant._code(operator) == CODE.FULLY_CONNECTED
        and operator.builtinOptions is not None
        and operator.builtinOptions.fusedActivationFunction == 0
    ]
    if found:
        plan.rng.choice(found).builtinOptions.fusedActivationFunction = 1
    return bool(found)


def activations() -> dict[str, Callable[[Any], bool]]:
    """Faults in operators and in their attributes."""
    return {
        "tanh is sigmoid": _operators("Tanh", "Sigmoid", CODE.TANH, CODE.LOGISTIC),
        "sigmoid is tanh": _operators("Sigmoid", "Tanh", CODE.LOGISTIC, CODE.TANH),
        "tanh is ReLU": _operators("Tanh", "Relu", CODE.TANH, CODE.RELU),
        "tanh is softsign": _operators("Tanh", "Softsign", CODE.TANH, CODE.ELU),
        "ReLU is tanh": _operators("Relu", "Tanh", CODE.RELU, CODE.TANH),
        "sigmoid is hard": _operators("Sigmoid", "HardSigmoid", CODE.LOGISTIC, CODE.RELU6),
        "softmax is sigmoid": _operators("Softmax", "Sigmoid", CODE.SOFTMAX, CODE.LOGISTIC),
        "slope of the hard sigmoid": _slope,
        "reset gate on the other side": _attribute("GRU", "linear_before_reset", 0),
        "input and forget gate coupled": _attribute("LSTM", "input_forget", 1),
        "gates clipped at 1": _attribute("LSTM", "clip", 1.0),
        "a product is cut at zero": _fused,
    }


def renamed(kind: str) -> Callable[[Any], bool]:
    """Two outputs, leaving states or entering states of one shape have each other's names."""

    def plant(plan: Any) -> bool:
        entry = plan.entry
        tensors = {
            "outputs": [(t.name, t.shape) for t in entry.outputs],
            "leaving": [(s.next_name, s.tensor.shape) for s in entry.states],
            "entering": [(s.tensor.name, s.tensor.shape) for s in entry.states],
        }[kind]
        pairs = [(a, b) for i, (a, s) in enumerate(tensors) for b, t in tensors[:i] if s == t]
        return bool(pairs) and _exchange(plan.edit, *plan.rng.choice(pairs))

    return plant


def _exchange(edit: Any, one: str, other: str) -> bool:
    names = {one: other, other: one}
    if not isinstance(edit, OnnxEdit):
        signature = edit.mutant.signature
        found = [t for t in (*signature.inputs, *signature.outputs) if t.name.decode() in names]
        for tensor in found:
            tensor.name = names[tensor.name.decode()].encode()
        return len(found) == 2
    graph = edit.model.graph
    if {one, other} <= {value.name for value in graph.input}:
        for node in nodes(edit.model):
            node.input[:] = [names.get(i, i) for i in node.input]
        return True
    if not {one, other} <= {value.name for value in graph.output}:
        return False
    for node in graph.node:
        node.input[:] = [f"{i}/own" if i in names else i for i in node.input]
        node.output[:] = [f"{o}/own" if o in names else o for o in node.output]
    for name, source in names.items():
        graph.node.append(helper.make_node("Identity", [f"{source}/own"], [name]))
    return True


def stale(plan: Any) -> bool:
    """A state leaves as it came in; whatever else reads it reads the right one."""
    if plan.state is None:
        return False
    entering, leaving = plan.state.tensor.name, plan.state.next_name
    if isinstance(plan.edit, OnnxEdit):
        graph = plan.edit.model.graph
        for node in graph.node:
            node.input[:] = [f"{i}/own" if i == leaving else i for i in node.input]
            node.output[:] = [f"{o}/own" if o == leaving else o for o in node.output]
        graph.node.append(helper.make_node("Identity", [entering], [leaving]))
        return entering in [value.name for value in graph.input]
    mutant = plan.edit.mutant
    came, leaves = mutant.input(entering), mutant.output(leaving)
    if came is None or leaves is None:
        return False
    outputs = list(mutant.graph.outputs)
    outputs[outputs.index(leaves.tensorIndex)] = came
    mutant.graph.outputs, leaves.tensorIndex = outputs, came
    return True
