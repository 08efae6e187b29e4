"""A program in C++ that runs the model in TFLite-Micro: the stream, or the whole sequence."""

from collections.abc import Sequence

from rnn_deploy.spec import STREAM
from rnn_deploy.tflite.micro.source import (
    HEADER,
    MicroFile,
    MicroTensor,
    array_name,
    constants_of,
    prefix_of,
)

EXAMPLE = "example.cc"
# A number as the integer of a tensor.
_QUANTISED = (
    "",
    "template <typename Integer>",
    "Integer Quantised(double value, double scale, int zero_point) {",
    "  const double low = std::numeric_limits<Integer>::min();",
    "  const double high = std::numeric_limits<Integer>::max();",
    "  const double whole = std::nearbyint(value / scale) + zero_point;",
    "  return static_cast<Integer>(std::min(std::max(whole, low), high));",
    "}",
)
_INTERPRETER = "tflite::MicroInterpreter& interpreter"


def example_of(files: Sequence[MicroFile], model: str, version: str) -> str:
    """Return the program. It runs the stream if there is one, else the whole sequence."""
    file = next((file for file in files if file.entry == STREAM), files[0])
    call = "one step" if file.entry == STREAM else "one whole sequence"
    return "\n".join([
        f"// Runs model '{model}' in TFLite-Micro, {call} per call; made by rnn-deploy {version}.",
        "// On a computer it reads numbers from standard input and prints each call's outputs.",
        "// On a device, replace ReadInputs and WriteOutputs.",
        *(["#include <algorithm>", "#include <cmath>"] if _has_integers(file) else []),
        "#include <cstdint>",
        "#include <cstdio>",
        *(["#include <cstring>"] if file.states else []),
        *(["#include <limits>"] if _has_integers(file) else []),
        "",
        f'#include "{HEADER}"',
        '#include "tensorflow/lite/c/common.h"',
        '#include "tensorflow/lite/micro/micro_interpreter.h"',
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"',
        '#include "tensorflow/lite/schema/schema_generated.h"',
        "",
        "namespace {",
        "",
        "// The arena was measured on x86-64. The kernels of your port may need more.",
        f"alignas(16) uint8_t arena[{prefix_of(file)}ArenaSize + 1024];",
        *(_state_functions(file) if file.states else []),
        *(_QUANTISED if _has_integers(file) else []),
        *_read(file),
        *_written(file),
        "",
        "}  // namespace",
        "",
        *_main(file),
        "",
    ])  # fmt: skip


def _state_functions(file: MicroFile) -> list[str]:
    prefix = prefix_of(file)
    lines = [
        "",
        "// The interpreter may use the memory of inputs and outputs for other tensors, so the",
        "// states are kept here between calls. The first call starts from zero.",
        f"uint8_t states[{prefix}StateBytes];",
    ]
    for name, side, to, source in (
        ("LoadStates", "input", "tensor->data.raw", "at"),
        ("SaveStates", "output", "at", "tensor->data.raw"),
    ):
        lines += [
            "",
            f"void {name}({_INTERPRETER}) {{",
            "  uint8_t* at = states;",
            f"  for (const auto& state : {prefix}States) {{",
            f"    TfLiteTensor* tensor = interpreter.{side}(state.{side});",
            f"    std::memcpy({to}, {source}, tensor->bytes);",
            "    at += tensor->bytes;",
            "  }",
            "}",
        ]
    return lines + _reset(file)


def _read(file: MicroFile) -> list[str]:
    given = {index for index, _ in file.states}
    names, _ = constants_of(file)
    lines = [
        "",
        "// Writes the inputs of one call; returns false if there are no more. Write every input",
        "// before every call.",
        f"bool ReadInputs({_INTERPRETER}) {{",
    ]
    for index, (name, tensor) in enumerate(zip(names, file.inputs, strict=True)):
        if index not in given:
            lines += [
                f"  {tensor.kind}* {_variable(name)} = {_data('input', name, tensor)};",
                f"  for (int i = 0; i < {name}_size; ++i) {{",
                "    double value;",
                '    if (std::scanf("%lf", &value) != 1) return false;',
                f"    {_variable(name)}[i] = {_given(name, tensor)};",
                "  }",
            ]
    return [*lines, "  return true;", "}"]


def _written(file: MicroFile) -> list[str]:
    states = {index for _, index in file.states}
    _, names = constants_of(file)
    lines = ["", f"void WriteOutputs({_INTERPRETER}) {{"]
    for index, (name, tensor) in enumerate(zip(names, file.outputs, strict=True)):
        if index not in states:
            lines += [
                f"  const {tensor.kind}* {_variable(name)} = {_data('output', name, tensor)};",
                f"  for (int i = 0; i < {name}_size; ++i) {{",
                f'    std::printf("%.9g ", {_shown(name, tensor)});',
                "  }",
            ]
    return [*lines, '  std::printf("\\n");', "}"]


def _main(file: MicroFile) -> list[str]:
    load, save = (
        [f"    {name}(interpreter);"] if file.states else []
        for name in ("LoadStates", "SaveStates")
    )
    return [
        "int main() {",
        "  tflite::MicroMutableOpResolver<kOperatorCount> resolver;",
        "  AddOperators(resolver);",
        f"  const tflite::Model* model = tflite::GetModel({array_name(file.entry)});",
        "  tflite::MicroInterpreter interpreter(model, resolver, arena, sizeof(arena));",
        "  if (interpreter.AllocateTensors() != kTfLiteOk) {",
        '    std::printf("The arena is too small for the kernels of this port.\\n");',
        "    return 1;",
        "  }",
        *(["  ResetStates();"] if _reset(file) else []),
        "  while (ReadInputs(interpreter)) {",
        *load,
        "    if (interpreter.Invoke() != kTfLiteOk) return 1;",
        *save,
        "    WriteOutputs(interpreter);",
        "  }",
        "  return 0;",
        "}",
    ]


def _has_integers(file: MicroFile) -> bool:
    return any(tensor.integer is not None for tensor in (*file.inputs, *file.outputs))


def _given(name: str, tensor: MicroTensor) -> str:
    if tensor.integer is None:
        return f"static_cast<{tensor.kind}>(value)"
    return f"Quantised<{tensor.kind}>(value, {name}_scale, {name}_zero_point)"


def _shown(name: str, tensor: MicroTensor) -> str:
    value = f"static_cast<double>({_variable(name)}[i])"
    if tensor.integer is None:
        return value
    return f"static_cast<double>({name}_scale) * ({value} - {name}_zero_point)"


def _reset(file: MicroFile) -> list[str]:
    """Lines that set every state to zero, where zero is not the integer 0."""
    tensors = [file.inputs[index] for index, _ in file.states]
    if all(tensor.integer is None or not tensor.integer.zero_point for tensor in tensors):
        return []
    lines = ["", "// Sets each state to the integer that represents zero.", "void ResetStates() {"]
    lines.append("  uint8_t* at = states;")
    for tensor in tensors:
        zero = 0 if tensor.integer is None else tensor.integer.zero_point
        lines.append(f"  at = std::fill_n(at, {tensor.size}, static_cast<uint8_t>({zero}));")
    return [*lines, "  (void)at;", "}"]


def _variable(constant: str) -> str:
    _, _, name = constant.partition("put_")
    return f"{name}_values"


def _data(side: str, constant: str, tensor: MicroTensor) -> str:
    return f"interpreter.{side}({constant})->data.{tensor.member}"
