"""Files for microcontrollers as C++: arrays, arena sizes, the operators to register."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.bundle import LoweringChoice
from rnn_deploy.tflite.files import integer_details
from rnn_deploy.tflite.quantise.integer_io import TensorScale
from rnn_deploy.tflite.quantise.quantise import QuantisedFile

HEADER, SOURCE = "model_data.h", "model_data.cc"
_BYTES_A_LINE = 12
_ARENA_STEP = 16
# MicroMutableOpResolver's own spellings, where they are not the operator's words in capitals.
_SPELLED = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


@dataclass(frozen=True)
class MicroTensor:
    """An input or output: its name, its shape, the number of its bytes, its type in C++.

    kind, member: the type, and the member of TfLiteTensor::data. integer: the scale of a tensor of
    integers that represent real values.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    kind: str
    member: str
    integer: TensorScale | None = None

    @property
    def values(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class MicroFile:
    """One file: the entry point it is, its operators, the arena it needs in bytes.

    inputs, outputs: in the order of the interpreter's indices. states: for each state, the index of
    its input and of its output.

    float32_arena: of a quantised file, the arena of the same model in float32. alternatives: other
    forms of the file, each with its arena and its size, or why it is not possible.
    """

    entry: str
    content: bytes
    choices: tuple[LoweringChoice, ...]
    operators: tuple[str, ...]
    arena: int
    inputs: tuple[MicroTensor, ...]
    outputs: tuple[MicroTensor, ...]
    states: tuple[tuple[int, int], ...] = ()
    quantised: QuantisedFile | None = None
    float32_arena: int | None = None
    alternatives: tuple[Mapping[str, Any], ...] = ()

    @property
    def path(self) -> str:
        """The file's name in the bundle."""
        return f"{self.entry}.tflite"

    @property
    def details(self) -> dict[str, Any]:
        """Facts for the manifest: the array's name, operators to register, arena in bytes."""
        array, operators = array_name(self.entry), list(self.operators)
        facts: dict[str, Any] = {"array": array, "operators": operators}
        facts |= {"arena": self.arena, "flash": len(self.content)}
        if self.float32_arena is not None:
            facts["float32_arena"] = self.float32_arena
        if self.alternatives:
            facts["alternatives"] = list(self.alternatives)
        if self.quantised is not None:
            facts |= integer_details(self.quantised)
        return facts


def resolver_call(operator: str) -> str:
    """Return the method of MicroMutableOpResolver that registers an operator."""
    words = (word if word[0].isdigit() else word.capitalize() for word in operator.split("_"))
    return f"Add{_SPELLED.get(operator, ''.join(words))}"


def array_name(entry: str) -> str:
    """Return the name of an entry point's array."""
    return f"g_{entry}_model"


def all_operators(files: Sequence[MicroFile]) -> tuple[str, ...]:
    """Return the operators of all files, each once."""
    return tuple(sorted({operator for file in files for operator in file.operators}))


def header_of(files: Sequence[MicroFile], model: str, version: str) -> str:
    """The header: arrays with their lengths, arena sizes, and what registers the operators."""
    operators = all_operators(files)
    guard = "RNN_DEPLOY_MODEL_DATA_H_"
    return "\n".join([
        f"// Model '{model}' for TFLite-Micro, made by rnn-deploy {version}; do not edit.",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <cstddef>",
        *(line for file in files for line in _declared(file)),
        "",
        "// Operators to register: tflite::MicroMutableOpResolver<kOperatorCount> resolver;",
        f"constexpr int kOperatorCount = {len(operators)};",
        "template <typename Resolver>",
        "void AddOperators(Resolver& resolver) {",
        *(f"  resolver.{resolver_call(operator)}();" for operator in operators),
        "}",
        "",
        f"#endif  // {guard}",
        "",
    ])  # fmt: skip


def source_of(files: Sequence[MicroFile], model: str, version: str) -> str:
    """Return the arrays themselves, aligned to 16 bytes as the flatbuffer asks."""
    return "\n".join([
        f"// Model '{model}' for TFLite-Micro, made by rnn-deploy {version}; do not edit.",
        f'#include "{HEADER}"',
        *(line for file in files for line in _defined(file)),
        "",
    ])  # fmt: skip


def constants_of(file: MicroFile) -> tuple[list[str], list[str]]:
    """Return the names of the index constants of a file's inputs and outputs."""
    prefix = prefix_of(file)
    return (
        _unique([f"{prefix}Input_{_identifier(t.name)}" for t in file.inputs]),
        _unique([f"{prefix}Output_{_identifier(t.name)}" for t in file.outputs]),
    )


def prefix_of(file: MicroFile) -> str:
    """Return the begin of the names of a file's constants."""
    return f"k{file.entry.capitalize()}"


def _declared(file: MicroFile) -> list[str]:
    name = array_name(file.entry)
    what = "one step, states in and out" if file.entry == "stream" else "the whole sequence"
    return [
        "",
        f"// Entry point '{file.entry}': {what}. Arena measured on x86-64.",
        f"extern const unsigned char {name}[];",
        f"extern const std::size_t {name}_len;",
        f"constexpr std::size_t {prefix_of(file)}ArenaSize = {file.arena};",
        "// The index for interpreter.input(...) or output(...), the shape, the number of values.",
        *_tensors(file),
        *_states(file),
    ]


def _tensors(file: MicroFile) -> list[str]:
    lines = []
    for names, tensors in zip(constants_of(file), (file.inputs, file.outputs), strict=True):
        for index, (name, tensor) in enumerate(zip(names, tensors, strict=True)):
            shape = ", ".join(map(str, tensor.shape or (1,)))
            lines += [
                f"constexpr int {name} = {index};  // {tensor.kind}",
                f"constexpr int {name}_shape[] = {{{shape}}};",
                f"constexpr int {name}_size = {tensor.values};",
            ]
            if tensor.integer is not None:
                lines += [
                    "// real value = scale * (integer - zero_point)",
                    f"constexpr float {name}_scale = {tensor.integer.scale!r}f;",
                    f"constexpr int {name}_zero_point = {tensor.integer.zero_point};",
                ]
    return lines


def _states(file: MicroFile) -> list[str]:
    if not file.states:
        return []
    prefix, (inputs, outputs) = prefix_of(file), constants_of(file)
    size = sum(file.inputs[i].size for i, _ in file.states)
    return [
        "// Each state: the output that the next call takes as input.",
        f"struct {prefix[1:]}State {{",
        "  int input;",
        "  int output;",
        "};",
        f"constexpr {prefix[1:]}State {prefix}States[] = {{",
        *(f"    {{{inputs[i]}, {outputs[o]}}}," for i, o in file.states),
        "};",
        f"constexpr std::size_t {prefix}StateBytes = {size};",
    ]


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, those that are there already with a number."""
    unique: list[str] = []
    for name in names:
        same = sum(other == name or other.startswith(f"{name}__") for other in unique)
        unique.append(f"{name}__{same + 1}" if same else name)
    return unique


def _defined(file: MicroFile) -> list[str]:
    name, content = array_name(file.entry), file.content
    starts = range(0, len(content), _BYTES_A_LINE)
    lines = (content[start : start + _BYTES_A_LINE] for start in starts)
    return [
        "",
        f"alignas({_ARENA_STEP}) const unsigned char {name}[] = {{",
        *("    " + ", ".join(f"0x{byte:02x}" for byte in line) + "," for line in lines),
        "};",
        f"const std::size_t {name}_len = {len(content)};",
    ]
