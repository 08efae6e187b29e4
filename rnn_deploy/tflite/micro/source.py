"""Files for microcontrollers as C++: arrays, arena sizes, the operators to register."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.bundle import LoweringChoice
from rnn_deploy.tflite.files import integer_details
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
class MicroFile:
    """One file: the entry point it is, its operators, the arena it needs in bytes.

    float32_arena: of a quantised file, the arena of the same model in float32.
    """

    entry: str
    content: bytes
    choices: tuple[LoweringChoice, ...]
    operators: tuple[str, ...]
    arena: int
    quantised: QuantisedFile | None
    float32_arena: int | None = None

    @property
    def path(self) -> str:
        """The file's name in the bundle."""
        return f"{self.entry}.tflite"

    @property
    def details(self) -> dict[str, Any]:
        """Facts for the manifest: the array's name, operators to register, arena in bytes."""
        array, operators = array_name(self.entry), list(self.operators)
        facts = {"array": array, "operators": operators, "arena": self.arena}
        if self.float32_arena is not None:
            facts["float32_arena"] = self.float32_arena
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


def _declared(file: MicroFile) -> list[str]:
    name = array_name(file.entry)
    what = "one step, states in and out" if file.entry == "stream" else "the whole sequence"
    return [
        "",
        f"// Entry point '{file.entry}': {what}. Arena measured on x86-64.",
        f"extern const unsigned char {name}[];",
        f"extern const std::size_t {name}_len;",
        f"constexpr std::size_t k{file.entry.capitalize()}ArenaSize = {file.arena};",
        *_scales(file),
    ]


def _scales(file: MicroFile) -> list[str]:
    """Lines that define the scale of each tensor that is integers."""
    integers = {} if file.quantised is None else file.quantised.integers
    if not integers:
        return []
    entry = file.entry.capitalize()
    lines = ["// Integers: real value = scale * (integer - zero point)."]
    for name, scale in integers.items():
        words = re.split(r"\W|_", name)
        what = f"k{entry}{''.join(word[:1].upper() + word[1:] for word in words)}"
        lines += [
            f"constexpr float {what}Scale = {scale.scale!r}f;  // '{name}', {scale.dtype}",
            f"constexpr int {what}ZeroPoint = {scale.zero_point};",
        ]
    return lines


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
