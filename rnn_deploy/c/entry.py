"""The C functions of one entry point: reset, one step, whole sequences."""

import re
from collections.abc import Sequence

from rnn_deploy.c.functions import FunctionWriter
from rnn_deploy.c.layout import C_TYPES
from rnn_deploy.c.place import Lines


def run_head(writer: FunctionWriter) -> str:
    """Return the declaration of the function for whole sequences."""
    return f"int {writer.prefix}_run({', '.join(writer.arguments(whole=True))})"


def step_head(writer: FunctionWriter) -> str:
    """Return the declaration of the function for one step."""
    return f"int {writer.prefix}_step({', '.join(writer.arguments(whole=False))})"


def reset_head(writer: FunctionWriter) -> str:
    """Return the declaration of the function that begins a sequence."""
    return f"void {writer.prefix}_reset({writer.prefix}_state *state)"


def functions_of(writer: FunctionWriter) -> list[str]:
    """Return the text of every function."""
    if not writer.keeps_state:
        return _from_zero(writer)
    checked = ["assert(state->digest == MODEL_DIGEST_WORD);"]
    cleared = ["memset(state, 0, sizeof *state);", "state->digest = MODEL_DIGEST_WORD;"]
    reset = _function(reset_head(writer), cleared)
    if not writer.by_steps:
        return [reset, _function(run_head(writer), [*checked, *_run_loops(writer)])]
    return [reset, *_by_steps(writer, checked)]


def _from_zero(writer: FunctionWriter) -> list[str]:
    """Return a function that always begins with states of zero, which the caller does not see."""
    body = _run_loops(writer)
    if not writer.layout.fields:
        return [_function(run_head(writer), body)]
    name, arguments = f"{writer.prefix}_state", writer.arguments(whole=True)
    inner = f"static int {writer.prefix}_loops({', '.join([f'{name} *state', *arguments])})"
    given = ", ".join(["&own", *map(_name_of, arguments)])
    outer = [
        f"{name} own;",
        "memset(&own, 0, sizeof own);",
        f"return {writer.prefix}_loops({given});",
    ]
    fields = f"typedef struct {{\n{writer.layout.declarations()}}} {name};\n"
    return [fields, _function(inner, body), _function(run_head(writer), outer)]


def _no_steps(writer: FunctionWriter, *, whole: bool = True) -> Lines:
    all_steps = writer.layout.steps.items()
    names = [name for time, name in all_steps if whole or time != writer.plan.loops[0].time]
    if not names:
        return []
    return [
        f"if ({' || '.join(f'{name} == 0' for name in names)}) {{",
        "    return MODEL_NO_STEPS;",
        "}",
    ]


def _by_steps(writer: FunctionWriter, checked: Lines) -> list[str]:
    """Return a step that both functions take, and what follows the last one."""
    layout, program = writer.layout, writer.program
    (loop,) = writer.plan.loops
    step, step_args = writer.body(loop.nodes, 0), writer.arguments(whole=False)
    step = [*_pointers(writer), *step]
    finish = writer.rest([*writer.plan.before, *loop.after])
    names = [_name_of(argument) for argument in step_args]
    pairs = [*zip(layout.inputs, program.inputs, strict=True)]
    pairs += [(n, v) for n, (_, v) in zip(layout.outputs, program.outputs, strict=True)]
    moved = {n: layout.size_of(v) for n, v in pairs if v.time == loop.time} | {"mask": "1"}
    found = []
    calls: dict[str, tuple[str, str]] = {}
    used_anywhere: set[str] = set()
    for name, body in (("advance", step), ("finish", finish)):
        used = [i for i, n in enumerate(names) if any(_mentions(line, n) for line in body)]
        used_anywhere |= {names[i] for i in used}
        taken = ", ".join(step_args[i] for i in used)
        one = ", ".join(names[i] for i in used)
        many = ", ".join(_at(names[i], moved) for i in used)
        function = f"{writer.prefix}_{name}"
        calls[name] = (f"{function}({one});", f"{function}({many});")
        if body:
            found.append(_function(f"static void {function}({taken})", body))
    last = [calls["finish"][0]] if finish else []
    ids = writer.checks_of_ids(whole=False)
    one_step = [*checked, *_unused(names, used_anywhere, ids), *_no_steps(writer, whole=False)]
    one_step += [*ids, calls["advance"][0], *last, "return MODEL_OK;"]
    steps = layout.steps[loop.time]
    loop_lines = [f"for (t = 0; t < {steps}; t++) {{", f"    {calls['advance'][1]}", "}"]
    ids = writer.checks_of_ids(whole=True)
    run = ["size_t t;", *checked, *_unused(names, used_anywhere, ids), *_no_steps(writer), *ids]
    found.append(_function(step_head(writer), one_step))
    return [*found, _function(run_head(writer), [*run, *loop_lines, *last, "return MODEL_OK;"])]


def _unused(names: Sequence[str], used: set[str], checks: Lines) -> Lines:
    """Return statements for arguments that nothing reads, which compilers would warn of."""
    rest = [name for name in names if name not in used and name != "state"]
    return [f"(void){n};" for n in rest if not any(_mentions(line, n) for line in checks)]


def _name_of(argument: str) -> str:
    return argument.replace("*", " ").split()[-1]


def _at(name: str, moved: dict[str, str]) -> str:
    if name not in moved:
        return name
    at = f"{name} + t" if moved[name] == "1" else f"{name} + t * {moved[name]}"
    return f"mask ? {at} : NULL" if name == "mask" else at


def _mentions(line: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", line) is not None


def _pointers(writer: FunctionWriter) -> Lines:
    """Return declarations of pointers to the values in work memory."""
    lines, before = [], ["work"]
    for value in writer.layout.in_work:
        kind = C_TYPES[value.dtype]
        place = " + ".join(before)
        cast = f"({kind} *)({place})" if kind != "float" else place
        lines.append(f"{kind} *{writer.name_in_work(value)} = {cast};")
        before.append(writer.layout.floats_of(value, {}))
    return lines


def _run_loops(writer: FunctionWriter) -> Lines:
    layout = writer.layout
    lines = [*writer.checks_of_ids(whole=True)]
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
    if not writer.plan.loops:
        lines += writer.rest([])
    timed = any(_mentions(line, "t") for line in lines)
    declared = [*(["size_t t;"] if timed else []), *_pointers(writer)]
    names = [_name_of(argument) for argument in writer.arguments(whole=True)]
    checks = _no_steps(writer)
    used = {name for name in names if any(_mentions(x, name) for x in (*declared, *lines, *checks))}
    return [*declared, *_unused(names, used, []), *checks, *lines, "return MODEL_OK;"]


def _function(head: str, body: Sequence[str]) -> str:
    return head + "\n{\n" + "".join(f"    {line}\n" for line in body) + "}\n"
