"""The C files of a program: model.h, model.c, model_weights.c. One program gives the same bytes.

Every identifier begins with `model_` or `MODEL_`, so that another name can be put in their place.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.c.blocks import source_of
from rnn_deploy.c.functions import FunctionWriter
from rnn_deploy.c.ir import ConvNode, DenseNode, Program, Value
from rnn_deploy.c.layout import C_TYPES, Layout
from rnn_deploy.c.nodes import Lines
from rnn_deploy.c.schedule import schedule
from rnn_deploy.c.shared import SHARED, shared_source
from rnn_deploy.c.storage import FLOAT32
from rnn_deploy.c.weights import WeightTable
from rnn_deploy.spec import StateKey

HEADER, SOURCE, WEIGHTS = "model.h", "model.c", "model_weights.c"
ABI = 1
_GUARD = """\
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) \\
    || defined(_M_FP_FAST)
#error "compile this file without -ffast-math: NaN, infinities and the budget depend on it"
#endif
/* The activations round by adding a large number, which needs floats without excess precision. */
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && !defined(MODEL_USE_LIBM)
#define MODEL_USE_LIBM
#endif
"""


@dataclass(frozen=True)
class CModel:
    """The files by name, and what is worth telling about them.

    interface: how the functions are called, for who writes a program around them. float_bytes: what
    the weights would take in float32.
    """

    files: dict[str, str]
    notes: tuple[str, ...]
    details: dict[str, int]
    interface: dict[str, Any]
    float_bytes: int


def c_model(program: Program, states: Sequence[StateKey] = (), storage: str = FLOAT32) -> CModel:
    """Write a program.

    states: those of the stream entry point, in order; they come first in `model_state`. storage:
    how matrices are kept, see storage.py.
    """
    layout = Layout(schedule(program))
    layout.place_states(states)
    writer = FunctionWriter(layout, WeightTable(storage))
    functions = "\n".join(_functions(writer))
    blocks = source_of(writer.uses)
    weights = (
        f"/* The weights of '{_comment(program.name)}': {writer.weights.bytes:,} bytes. */\n"
        f'#include "{HEADER}"\n\n'
        f"{writer.weights.declarations()}\n{writer.weights.definitions()}"
    )
    body = f"{writer.weights.declarations()}\n{blocks}\n{functions}"
    digest = hashlib.sha256((weights + body).encode()).hexdigest()
    source = (
        f"/* '{_comment(program.name)}' as C99; {HEADER} says how it is used. */\n"
        f'#include "{HEADER}"\n\n#include <assert.h>\n#include <float.h>\n#include <math.h>\n'
        f"#include <string.h>\n\n{_GUARD}\n{body}"
    )
    files = {HEADER: _header(writer, digest), SOURCE: source, WEIGHTS: weights}
    files[SHARED] = shared_source(writer)
    details = {
        "weight_bytes": writer.weights.bytes,
        "state_bytes": 4 * layout.floats + 4,
        "multiplications": _multiplications(program),
    }
    notes = tuple(_notes(layout))
    return CModel(files, notes, details, _interface(writer), writer.weights.float_bytes)


def _interface(writer: FunctionWriter) -> dict[str, Any]:
    """The arguments of model_step and model_run in order, and the fields of model_state."""
    layout, program = writer.layout, writer.program

    def tensor(name: str, identifier: str, value: Value) -> dict[str, Any]:
        steps = None if value.time is None else layout.steps[value.time]
        return {
            "name": name, "identifier": identifier, "size": value.size, "steps": steps,
            "type": C_TYPES[value.dtype],
        }  # fmt: skip

    outputs = zip(layout.outputs, program.outputs, strict=True)
    return {
        "inputs": [
            tensor(v.name, n, v) for n, v in zip(layout.inputs, program.inputs, strict=True)
        ],
        "mask": layout.mask_root is not None,
        "steps": list(layout.steps.values()),
        "outputs": [tensor(name, identifier, value) for identifier, (name, value) in outputs],
        "work": not writer.by_steps,
        "step": writer.by_steps,
        "states": [
            {"layer": f.key[0], "role": f.key[1], "field": f.name, "size": f.size}
            for f in layout.fields[: layout.free]
        ],
    }


def _notes(layout: Layout) -> list[str]:
    return [
        f"'{name}' is no identifier of C; it is called {identifier} there"
        for name, identifier in layout.names.changed.items()
    ]


def _functions(writer: FunctionWriter) -> list[str]:
    checked = ["assert(state->digest == MODEL_DIGEST_WORD);"]
    reset = _function(
        "void model_reset(model_state *state)",
        ["memset(state, 0, sizeof *state);", "state->digest = MODEL_DIGEST_WORD;"],
    )
    if not writer.by_steps:
        return [reset, _function(_run_head(writer), [*checked, *_run_loops(writer)])]
    return [reset, *_by_steps(writer, checked)]


def _run_head(writer: FunctionWriter) -> str:
    return f"int model_run({', '.join(writer.arguments(whole=True))})"


def _no_steps(writer: FunctionWriter) -> Lines:
    zero = " || ".join(f"{steps} == 0" for steps in writer.layout.steps.values())
    return [f"if ({zero}) {{", "    return MODEL_NO_STEPS;", "}"]


def _by_steps(writer: FunctionWriter, checked: Lines) -> list[str]:
    """A step that both functions take, and what follows the last one."""
    layout, program = writer.layout, writer.program
    (loop,) = writer.plan.loops
    (steps,) = layout.steps.values()
    step, step_args = writer.body(loop.nodes, 0), writer.arguments(whole=False)
    finish = writer.rest([*writer.plan.before, *loop.after])
    names = [argument.replace("*", " ").split()[-1] for argument in step_args]
    sizes = {n: v.size for n, v in zip(layout.inputs, program.inputs, strict=True) if v.time}
    sizes |= {"mask": 1}
    over_time = [
        (n, v) for n, (_, v) in zip(layout.outputs, program.outputs, strict=True) if v.time
    ]
    sizes |= {name: value.size for name, value in over_time}
    found = []
    calls: dict[str, tuple[str, str]] = {}
    for name, body in (("advance", step), ("finish", finish)):
        used = [i for i, n in enumerate(names) if any(_mentions(line, n) for line in body)]
        taken = ", ".join(step_args[i] for i in used)
        one = ", ".join(names[i] for i in used)
        many = ", ".join(_at(names[i], sizes) for i in used)
        calls[name] = (f"model_{name}({one});", f"model_{name}({many});")
        if body:
            found.append(_function(f"static void model_{name}({taken})", body))
    last = [calls["finish"][0]] if finish else []
    one_step = [*checked, *writer.checks_of_ids(whole=False)]
    one_step += [calls["advance"][0], *last, "return MODEL_OK;"]
    loop_lines = [f"for (t = 0; t < {steps}; t++) {{", f"    {calls['advance'][1]}", "}"]
    run = ["size_t t;", *checked, *_no_steps(writer), *writer.checks_of_ids(whole=True)]
    found.append(_function(f"int model_step({', '.join(step_args)})", one_step))
    whole = [*run, *loop_lines, *last, "return MODEL_OK;"]
    return [*found, _function(_run_head(writer), whole)]


def _at(name: str, sizes: dict[str, int]) -> str:
    if name not in sizes:
        return name
    moved = f"{name} + t" if sizes[name] == 1 else f"{name} + t * {sizes[name]}"
    return f"mask ? {moved} : NULL" if name == "mask" else moved


def _mentions(line: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", line) is not None


def _run_loops(writer: FunctionWriter) -> Lines:
    layout = writer.layout
    declared, lines = ["size_t t;"], [*_no_steps(writer)]
    lines += writer.checks_of_ids(whole=True)
    offset: list[str] = []
    for value in layout.kept:
        assert value.time is not None
        name = layout.names.of(("kept", id(value)), f"all_{value.name}")
        declared.append(f"float *{name} = {' + '.join(['work', *offset])};")
        offset.append(f"{layout.steps[value.time]} * {value.size}")
    lines += writer.rest(writer.plan.before) if writer.plan.before else []
    for index, (loop, body) in enumerate(writer.loops()):
        steps = layout.steps[loop.time]
        head = (
            f"for (t = {steps}; t-- > 0;) {{"
            if loop.reverse
            else (f"for (t = 0; t < {steps}; t++) {{")
        )
        lines += [*writer.starts(loop), head, *(f"    {line}" for line in body), "}"]
        last = index + 1 == len(writer.plan.loops)
        if loop.after or last:
            lines += writer.rest(loop.after)
    unused = [] if layout.kept else ["(void)work;"]
    return [*declared, *unused, *lines, "return MODEL_OK;"]


def _function(head: str, body: Sequence[str]) -> str:
    return head + "\n{\n" + "".join(f"    {line}\n" for line in body) + "}\n"


def _comment(text: str) -> str:
    """Text that is safe inside a C comment."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")


def _multiplications(program: Program) -> int:
    """Multiplications with weights in one step."""
    cells = sum(node.cell.kernel.size + node.cell.recurrent_kernel.size for node in program.cells)
    others = (n.kernel.size for n in program.nodes if isinstance(n, DenseNode | ConvNode))
    return cells + sum(others)


def _header(writer: FunctionWriter, digest: str) -> str:
    layout, program = writer.layout, writer.program
    fields = "".join(
        f"    float {field.name}[{field.size}]; /* '{_comment(field.key[0])}', {field.key[1]} */\n"
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
    prototypes = f"{_run_head(writer)};\n"
    if writer.by_steps:
        prototypes = f"int model_step({', '.join(writer.arguments(whole=False))});\n" + prototypes
    return _HEADER.format(
        name=_comment(program.name),
        weights=f"{writer.weights.bytes:,}",
        state=f"{4 * layout.floats + 4:,}",
        multiplications=f"{_multiplications(program):,}",
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
