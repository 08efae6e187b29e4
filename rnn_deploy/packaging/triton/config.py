"""The configuration of one model in a Triton repository, and its text in config.pbtxt.

Source: the protobuf definition ModelConfig (model_config.proto) and the documentation of Triton
24.10. Dimensions omit the batch if Triton makes batches (`max_batch` above 0).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rnn_deploy.spec import EntryPoint, TensorSpec

ONNX_RUNTIME, PYTHON = "onnxruntime", "python"
MAX_BATCH = 64
MAX_SEQUENCES = 256
IDLE_SECONDS = 60
DATA_TYPES = {
    **{"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64"},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Port:
    """An input or output as a client sees it.

    dims: -1 for an open dimension. timed: the first axis after the batch is the steps.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    timed: bool = False


@dataclass(frozen=True)
class StatePort:
    """A state that Triton carries from request to request of a sequence."""

    input: str
    output: str
    dtype: str
    dims: tuple[int, ...]
    initial: bool = True


@dataclass(frozen=True)
class ModelConfig:
    """One model. max_batch: 0 if Triton must not make batches. states: it runs sequences."""

    name: str
    backend: str
    max_batch: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[StatePort, ...] = ()

    @property
    def carries_state(self) -> bool:
        """Return whether Triton, not the backend's own code, carries the states."""
        return bool(self.states) and self.backend == ONNX_RUNTIME


def stateless(name: str, entry: EntryPoint, backend: str) -> ModelConfig:
    """Return a stateless model: its states, if there are any, are inputs and outputs."""
    batched = entry.why_one_batch is None and all(len(t.shape) > 1 for t in _tensors(entry))
    return ModelConfig(
        name,
        backend,
        MAX_BATCH if batched else 0,
        _ports(entry, entry.all_inputs, batched=batched),
        _ports(entry, entry.all_outputs, batched=batched),
    )


def why_not_stateful(entry: EntryPoint) -> str:
    """Return why Triton cannot carry the states of an entry point; empty if it can."""
    if not entry.states:
        return "the model has no states"
    if not entry.chunked.ok:
        return entry.chunked.reason
    flat = [tensor.name for tensor in _tensors(entry) if len(tensor.shape) < 2]
    if flat:
        return f"'{flat[0]}' has no dimension beside the batch"
    return entry.why_one_batch or ""


def stateful(name: str, entry: EntryPoint, backend: str) -> ModelConfig:
    """Return a model whose states stay in the server from request to request of a sequence."""
    states = tuple(
        StatePort(s.tensor.name, s.next_name, s.tensor.dtype, _dims(s.tensor.shape[1:]))
        for s in entry.states
    )
    return ModelConfig(
        name,
        backend,
        MAX_BATCH,
        _ports(entry, entry.inputs, batched=True),
        _ports(entry, entry.outputs, batched=True),
        states,
    )


def config_text(config: ModelConfig) -> str:
    """Return the text of config.pbtxt."""
    lines = [
        f"name: {_quoted(config.name)}",
        f"backend: {_quoted(config.backend)}",
        f"max_batch_size: {config.max_batch}",
        *_port_lines("input", config.inputs),
        *_port_lines("output", config.outputs),
        *(_sequence_lines(config) if config.states else _batch_lines(config)),
        "# For a GPU: KIND_GPU. Then run check.py again, since other kernels round otherwise.",
        "instance_group [ { count: 1, kind: KIND_CPU } ]",
    ]
    if config.backend == ONNX_RUNTIME:
        lines += [
            "# One thread for a call: the server runs many calls side by side.",
            'parameters { key: "intra_op_thread_count", value: { string_value: "1" } }',
        ]
    return "\n".join(lines) + "\n"


def _tensors(entry: EntryPoint) -> tuple[TensorSpec, ...]:
    return entry.all_inputs + entry.all_outputs


def _ports(entry: EntryPoint, tensors: Iterable[TensorSpec], *, batched: bool) -> tuple[Port, ...]:
    symbols = entry.time_symbols
    return tuple(
        Port(
            tensor.name,
            tensor.dtype,
            _dims(tensor.shape[1:] if batched else tensor.shape),
            len(tensor.shape) > 1 and tensor.shape[1] in symbols,
        )
        for tensor in tensors
    )


def _dims(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else -1 for dim in shape)


def _port_lines(kind: str, ports: Iterable[Port]) -> Iterator[str]:
    yield f"{kind} ["
    yield from _separated(
        f"  {{ name: {_quoted(p.name)}, {_type(p.dtype)}, {_shape(p.dims)} }}" for p in ports
    )
    yield "]"


def _batch_lines(config: ModelConfig) -> Iterator[str]:
    if config.max_batch:
        yield "# Triton joins waiting requests of equal shapes; it never pads a sequence."
        yield "dynamic_batching { }"


def _sequence_lines(config: ModelConfig) -> Iterator[str]:
    yield "# Each request: batch 1, a sequence id that is not 0, and sequence_start on the first."
    yield "sequence_batching {"
    yield f"  max_sequence_idle_microseconds: {IDLE_SECONDS * 1_000_000}"
    candidates = f"max_candidate_sequences: {MAX_SEQUENCES}"
    yield f"  oldest {{ {candidates}, max_queue_delay_microseconds: 0 }}"
    if config.carries_state:
        yield "  state ["
        yield from _separated(_state_text(state) for state in config.states)
        yield "  ]"
    yield "}"


def _state_text(state: StatePort) -> str:
    kind = f"{_type(state.dtype)}, {_shape(state.dims)}"
    initial = f'initial_state: {{ name: "zero", {kind}, zero_data: true }}'
    names = f"input_name: {_quoted(state.input)}, output_name: {_quoted(state.output)}"
    return f"    {{ {names}, {kind}{f',{chr(10)}      {initial}' if state.initial else ''} }}"


def _separated(items: Iterable[str]) -> Iterator[str]:
    """Yield the items of a list with commas between them, and none after the last."""
    yield ",\n".join(items)


def _type(dtype: str) -> str:
    return f"data_type: TYPE_{DATA_TYPES[dtype]}"


def _shape(dims: tuple[int, ...]) -> str:
    return f"dims: [ {', '.join(map(str, dims))} ]"


def _quoted(text: str) -> str:
    """Return a string of protobuf's text format: printable ASCII, other bytes in octal."""
    safe = (
        chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in text.encode("utf-8")
    )
    return f'"{"".join(safe)}"'
