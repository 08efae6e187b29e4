"""The inputs and outputs of an ONNX file, and contradictions with a configuration.

If a state has a wrong name or no initial value, Triton still reports the model as READY and then
returns wrong numbers. So each configuration is compared with its graph before it is written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rnn_deploy.packaging.triton.config import ModelConfig, Port, StatePort
from rnn_deploy.runtimes.protobuf import fields_in, messages_in

# onnx.proto3, TensorProto.DataType
ONNX_TYPES = {
    **{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"},
    **{9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"},
}
# The newest versions that ONNX Runtime in Triton 24.10 loads.
NEWEST_IR, NEWEST_OPSET = 10, 21


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of a graph. dims: -1 for an open dimension."""

    dtype: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class OnnxSignature:
    """Inputs and outputs by name; the versions of the file's IR and of the standard operators."""

    inputs: Mapping[str, GraphTensor]
    outputs: Mapping[str, GraphTensor]
    ir: int
    opset: int


def graph_of(content: bytes) -> OnnxSignature:
    """Read an ONNX file. Raises ValueError if it is damaged. Field numbers: onnx.proto3."""
    ir, opset = 0, 0
    inputs: dict[str, GraphTensor] = {}
    outputs: dict[str, GraphTensor] = {}
    for number, value in fields_in(memoryview(content)):
        if number == 1 and isinstance(value, int):
            ir = value
        elif number == 8 and isinstance(value, memoryview):
            opset = max(opset, _standard_opset(value))
        elif number == 7 and isinstance(value, memoryview):
            stored = {_text(part, 8) for field, part in messages_in(value) if field == 5}
            for field, part in messages_in(value):
                if field == 11 and _text(part, 1) not in stored:
                    inputs[_text(part, 1)] = _tensor(part)
                elif field == 12:
                    outputs[_text(part, 1)] = _tensor(part)
    return OnnxSignature(inputs, outputs, ir, opset)


def contradictions(config: ModelConfig, graph: OnnxSignature) -> list[str]:
    """Return the contradictions between the configuration and the graph."""
    found = [*_ports_that_differ(config, graph), *_states_that_differ(config, graph)]
    fed = {port.name for port in config.inputs} | {state.input for state in config.states}
    found += [f"nothing feeds the graph's input '{n}'" for n in graph.inputs if n not in fed]
    leaving = [port.name for port in config.outputs] + [state.output for state in config.states]
    found += [f"nothing takes the graph's output '{n}'" for n in graph.outputs if n not in leaving]
    found += [f"'{n}' leaves twice" for n in dict.fromkeys(leaving) if leaving.count(n) > 1]
    return found


def too_new(graph: OnnxSignature) -> str:
    """Return the version that a server of the tested release cannot load; empty if it can."""
    if graph.ir > NEWEST_IR:
        return f"IR version {graph.ir}, newer than {NEWEST_IR}"
    if graph.opset > NEWEST_OPSET:
        return f"opset {graph.opset}, newer than {NEWEST_OPSET}"
    return ""


def _ports_that_differ(config: ModelConfig, graph: OnnxSignature) -> Iterator[str]:
    carried = {name for state in config.states for name in (state.input, state.output)}
    for kind, ports, tensors in (
        ("input", config.inputs, graph.inputs),
        ("output", config.outputs, graph.outputs),
    ):
        for port in ports:
            if port.name in carried:
                yield f"'{port.name}' is a state and an {kind}; it may be a state only"
            yield from _differs(f"{kind} '{port.name}'", port, tensors.get(port.name), config)


def _states_that_differ(config: ModelConfig, graph: OnnxSignature) -> Iterator[str]:
    for state in config.states:
        if not state.initial:
            yield f"state '{state.input}' has no initial value"
        for what, name, tensors in (
            ("input", state.input, graph.inputs),
            ("output", state.output, graph.outputs),
        ):
            yield from _differs(f"state {what} '{name}'", state, tensors.get(name), config)


def _differs(
    what: str, port: Port | StatePort, tensor: GraphTensor | None, config: ModelConfig
) -> Iterator[str]:
    if tensor is None:
        yield f"the graph has no {what}"
        return
    dims = (-1, *port.dims) if config.max_batch else port.dims
    if (port.dtype, dims) != (tensor.dtype, tensor.dims):
        yield f"{what} is {port.dtype}{dims}, in the graph {tensor.dtype}{tensor.dims}"


def _standard_opset(part: memoryview) -> int:
    fields = dict(fields_in(part))
    version = fields.get(2, 0)
    named = bytes(fields.get(1, b"")) if not isinstance(fields.get(1), int) else b""
    return version if isinstance(version, int) and named in (b"", b"ai.onnx") else 0


def _text(part: memoryview, field: int) -> str:
    return bytes(dict(messages_in(part)).get(field, b"")).decode("utf-8", "replace")


def _inner(part: memoryview, field: int) -> memoryview:
    return dict(messages_in(part)).get(field, memoryview(b""))


def _tensor(info: memoryview) -> GraphTensor:
    """Read ValueInfoProto.type.tensor_type: its elem_type and shape.dim."""
    tensor = _inner(_inner(info, 2), 1)
    kind = dict(fields_in(tensor)).get(1, 0)
    dims = [_dim(part) for number, part in messages_in(_inner(tensor, 2)) if number == 1]
    name = ONNX_TYPES.get(kind, f"type {kind}") if isinstance(kind, int) else "no type"
    return GraphTensor(name, tuple(dims))


def _dim(part: memoryview) -> int:
    size = dict(fields_in(part)).get(1)
    return size if isinstance(size, int) else -1
