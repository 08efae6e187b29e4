"""Write model.h: sizes, the state, the functions, and how they are used."""

from collections.abc import Sequence

from rnn_deploy.c.entry import reset_head, run_head, step_head
from rnn_deploy.c.functions import FunctionWriter
from rnn_deploy.c.ir import ConvNode, DenseNode, Program
from rnn_deploy.c.names import Names, comment_text

ABI = 1
# Vectors of 64 bytes are read twice as fast if none lies on two lines of the cache (measured: 1.6
# times as fast an LSTM of 64 units). Smaller processors keep their memory.
ALIGNED = """\
/* Where vectors have 64 bytes, arrays begin where a line of the cache does. */
#if defined(__AVX512F__) && defined(__GNUC__)
#define MODEL_ALIGNED __attribute__((aligned(64)))
#else
#define MODEL_ALIGNED
#endif
"""


def multiplications(program: Program) -> int:
    """Return the number of multiplications with weights in one step."""
    cells = sum(node.cell.kernel.size + node.cell.recurrent_kernel.size for node in program.cells)
    others = (n.kernel.size for n in program.nodes if isinstance(n, DenseNode | ConvNode))
    return cells + sum(others)


def header_text(writers: Sequence[FunctionWriter], digest: str) -> str:
    """Return the file's text."""
    whole, *halves = writers
    names = Names()  # of macros
    return _HEADER.format(
        name=comment_text(whole.program.name),
        weights=f"{whole.weights.bytes:,}",
        state=f"{4 * whole.layout.floats + 4:,}",
        multiplications=f"{multiplications(whole.program):,}",
        abi=ABI,
        digest=digest,
        word=digest[:8],
        macros="".join(_macros(writer, names) for writer in writers),
        fields=whole.layout.declarations(),
        prototypes="".join(_prototypes(whole)),
        usage=_usage(whole),
        halves=_halves(halves),
    )


def _macros(writer: FunctionWriter, names: Names) -> str:
    layout, program, prefix = writer.layout, writer.program, writer.prefix.upper()
    pairs = [(n, v, "input") for n, v in zip(layout.inputs, program.inputs, strict=True)]
    outputs = zip(layout.outputs, program.outputs, strict=True)
    pairs += [(name, value, "output") for name, (_, value) in outputs]
    lines = [
        f"#define {prefix}_HAS_STEP {int(writer.by_steps)}\n" if writer.keeps_state else "",
        f"#define {prefix}_HAS_MASK {int(layout.mask_root is not None)}\n",
    ]
    for name, value, kind in pairs:
        macro = names.of((prefix, name), f"{prefix[6:]}_{name.upper()}_SIZE".lstrip("_"))
        when = "each step" if value.time else "once"
        if value.over is None:
            lines.append(f"#define MODEL_{macro} {value.size} /* {kind}, {when} */\n")
    return "".join([*lines, _work(writer) if writer.takes_work else ""])


def _work(writer: FunctionWriter) -> str:
    layout = writer.layout
    macro = {name: f"(size_t)({name})" for name in layout.steps.values()}
    terms = [layout.floats_of(value, macro) for value in layout.in_work]
    used = " + ".join(terms) or "1"
    arguments = ", ".join(layout.steps.values())
    comment = "/* How many floats `work` must have. */"
    return f"{comment}\n#define {writer.prefix.upper()}_WORK_FLOATS({arguments}) ({used})\n"


def _prototypes(writer: FunctionWriter) -> list[str]:
    lines = [f"{reset_head(writer)};\n"] if writer.keeps_state else []
    if writer.by_steps:
        lines.append(f"{step_head(writer)};\n")
    return [*lines, f"{run_head(writer)};\n"]


def _halves(writers: Sequence[FunctionWriter]) -> str:
    """Return the types and functions of encode and decode."""
    if not writers:
        return ""
    encode, decode = writers
    state = f"typedef struct {{\n{decode.layout.declarations()}{_DIGEST}}} model_decode_state;\n"
    return _HALVES.format(
        encode="".join(_prototypes(encode)), decode="".join(_prototypes(decode)), state=state
    )


def _usage(writer: FunctionWriter) -> str:
    lines = []
    if writer.by_steps:
        lines += [
            "model_step takes one step and returns MODEL_OK, or an error and changes nothing.",
        ]
    lines += [
        "model_run takes whole sequences, all steps one after the other, from the state as it is;",
        "it leaves the state after the last step there.",
    ]
    if writer.layout.mask_root is not None:
        lines += [
            "mask: one byte for each step, 0 where the step does not count; NULL to find this out",
            "from the values of the input, as Keras does.",
        ]
    if not writer.by_steps:
        lines += [
            "This model needs whole sequences: a layer runs backward, starts from a state that the",
            "model itself computes, or looks at all steps of a sequence.",
        ]
    return "".join(f"   {line}\n" for line in lines)


_DIGEST = "    uint32_t digest; /* checked where NDEBUG is not defined */\n"
_HALVES = """
/* Encoder and decoder by themselves. model_encode_run begins at zero and writes the memory and the
   decoder's initial states. Call model_decode_reset, copy the initial states into the fields of
   model_decode_state that they are named after (or let model_encode_run write them there), and
   decode step by step. The memory stays as it is. */
{encode}
{state}
{decode}"""
_HEADER = """\
/* '{name}'. One model_state for each sequence: a plain struct, to be copied at will.

   {weights} bytes of weights, {state} bytes of state, {multiplications} multiplications a step.

   model_reset(&state) begins a sequence.
{usage}   A state is a value: copy it to branch, write it to a file to resume. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define MODEL_ABI {abi}
#define MODEL_DIGEST "{digest}"
#define MODEL_DIGEST_WORD 0x{word}u
{macros}
enum {{ MODEL_OK = 0, MODEL_NO_STEPS = 1, MODEL_BAD_ID = 2 }};

typedef struct {{
{fields}    uint32_t digest; /* checked where NDEBUG is not defined */
}} model_state;

{prototypes}{halves}
#ifdef __cplusplus
}}
#endif
#endif
"""
