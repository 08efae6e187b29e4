"""Write model.h: sizes, the state, the functions, and how they are used."""

from rnn_deploy.c.functions import FunctionWriter
from rnn_deploy.c.ir import ConvNode, DenseNode, Program
from rnn_deploy.c.layout import Layout

ABI = 1


def run_head(writer: FunctionWriter) -> str:
    return f"int model_run({', '.join(writer.arguments(whole=True))})"


def comment_text(text: str) -> str:
    """Text that is safe inside a C comment."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")


def multiplications(program: Program) -> int:
    """Return the number of multiplications with weights in one step."""
    cells = sum(node.cell.kernel.size + node.cell.recurrent_kernel.size for node in program.cells)
    others = (n.kernel.size for n in program.nodes if isinstance(n, DenseNode | ConvNode))
    return cells + sum(others)


def header_text(writer: FunctionWriter, digest: str) -> str:
    layout, program = writer.layout, writer.program
    fields = "".join(
        f"    float {field.name}[{field.size}];"
        f" /* '{comment_text(field.key[0])}', {field.key[1]} */\n"
        for field in layout.fields
    )
    pairs = [(n, v, "input") for n, v in zip(layout.inputs, program.inputs, strict=True)]
    outputs = zip(layout.outputs, program.outputs, strict=True)
    pairs += [(name, value, "output") for name, (_, value) in outputs]
    sizes = "".join(
        f"#define MODEL_{name.upper()}_SIZE {v.size} /* {kind}, {'each step' if v.time else 'once'}"
        " */\n"
        for name, v, kind in pairs
    )
    prototypes = f"{run_head(writer)};\n"
    if writer.by_steps:
        prototypes = f"int model_step({', '.join(writer.arguments(whole=False))});\n" + prototypes
    return _HEADER.format(
        name=comment_text(program.name),
        weights=f"{writer.weights.bytes:,}",
        state=f"{4 * layout.floats + 4:,}",
        multiplications=f"{multiplications(program):,}",
        abi=ABI,
        digest=digest,
        word=digest[:8],
        has_step=int(writer.by_steps),
        has_mask=int(layout.mask_root is not None),
        sizes=sizes,
        fields=fields,
        prototypes=prototypes,
        usage=_usage(writer),
        work="" if writer.by_steps else _work(layout),
    )


def _work(layout: Layout) -> str:
    terms = [
        f"(size_t)({layout.steps[value.time]}) * {value.size}"
        for value in layout.kept
        if value.time is not None
    ]
    arguments = ", ".join(layout.steps.values())
    used = " + ".join(terms) or "1"
    comment = "/* How many floats `work` must have. */"
    return f"{comment}\n#define MODEL_WORK_FLOATS({arguments}) ({used})\n"


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
            "This model needs whole sequences: a layer runs backward, or starts from a state that",
            "the model itself computes.",
        ]
    return "".join(f"   {line}\n" for line in lines)


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
#define MODEL_HAS_STEP {has_step}
#define MODEL_HAS_MASK {has_mask}
{sizes}{work}
enum {{ MODEL_OK = 0, MODEL_NO_STEPS = 1, MODEL_BAD_ID = 2 }};

typedef struct {{
{fields}    uint32_t digest; /* checked where NDEBUG is not defined */
}} model_state;

void model_reset(model_state *state);
{prototypes}
#ifdef __cplusplus
}}
#endif
#endif
"""
