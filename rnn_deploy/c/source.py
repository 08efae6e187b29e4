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
from rnn_deploy.c.header import comment_text, header_text, multiplications, run_head
from rnn_deploy.c.ir import Program, Value
from rnn_deploy.c.layout import C_TYPES, Layout
from rnn_deploy.c.place import Lines
from rnn_deploy.c.schedule import schedule
from rnn_deploy.c.shared import SHARED, shared_source
from rnn_deploy.c.storage import FLOAT32
from rnn_deploy.c.weights import WeightTable
from rnn_deploy.spec import StateKey

HEADER, SOURCE, WEIGHTS = "model.h", "model.c", "model_weights.c"
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
        f"/* The weights of '{comment_text(program.name)}': {writer.weights.bytes:,} bytes. */\n"
        f'#include "{HEADER}"\n\n'
        f"{writer.weights.declarations()}\n{writer.weights.definitions()}"
    )
    body = f"{writer.weights.declarations()}\n{blocks}\n{functions}"
    digest = hashlib.sha256((weights + body).encode()).hexdigest()
    source = (
        f"/* '{comment_text(program.name)}' as C99; {HEADER} says how it is used. */\n"
        f'#include "{HEADER}"\n\n#include <assert.h>\n#include <float.h>\n#include <math.h>\n'
        f"#include <string.h>\n\n{_GUARD}\n{body}"
    )
    files = {HEADER: header_text(writer, digest), SOURCE: source, WEIGHTS: weights}
    files[SHARED] = shared_source(writer)
    details = {
        "weight_bytes": writer.weights.bytes,
        "state_bytes": 4 * layout.floats + 4,
        "multiplications": multiplications(program),
    }
    notes = tuple(_notes(layout))
    return CModel(files, notes, details, _interface(writer), writer.weights.float_bytes)


def _interface(writer: FunctionWriter) -> dict[str, Any]:
    """Return the arguments of model_step and model_run in order, and the fields of model_state."""
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
        return [reset, _function(run_head(writer), [*checked, *_run_loops(writer)])]
    return [reset, *_by_steps(writer, checked)]


def _no_steps(writer: FunctionWriter) -> Lines:
    zero = " || ".join(f"{steps} == 0" for steps in writer.layout.steps.values())
    return [f"if ({zero}) {{", "    return MODEL_NO_STEPS;", "}"]


def _by_steps(writer: FunctionWriter, checked: Lines) -> list[str]:
    """Return a step that both functions take, and what follows the last one."""
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
    return [*found, _function(run_head(writer), whole)]


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
