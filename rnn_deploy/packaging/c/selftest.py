"""model_selftest.c: golden vectors with budgets, so that the user's own compiler is checked.

Each case is a sequence of the bundle's golden vectors. It runs whole and, if the model accepts
single steps, step by step; outputs and final states must be within the budgets of `verify`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.packaging.c.interface import CInterface, CTensor
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.verifying.judge.tolerance import Budgets

MOST_ROWS = 2  # rows of each golden vector
MOST_FLOATS = 4096  # numbers of one row, inputs and outputs together
PER_LINE = 6


@dataclass(frozen=True)
class SelfTestCase:
    """One sequence. feeds, truth: by name, without the batch. budgets: by name."""

    name: str
    feeds: dict[str, Array]
    truth: dict[str, Array]
    budgets: dict[str, float]


def selftest(
    interface: CInterface, entry: EntryPoint, cases: Sequence[GoldenCase], budgets: Budgets
) -> str:
    """Return the file's text."""
    chosen = list(_chosen(entry, cases, budgets))
    parts = [_one_case(index, case, interface, entry) for index, case in enumerate(chosen)]
    calls = "".join(f"    failed += case_{index}();\n" for index in range(len(parts)))
    return _FILE.format(cases="\n".join(parts), calls=calls, count=len(parts))


def _chosen(
    entry: EntryPoint, cases: Sequence[GoldenCase], budgets: Budgets
) -> Iterator[SelfTestCase]:
    names = [tensor.name for tensor in entry.all_outputs]
    for case in cases:
        batch = len(next(iter(case.feeds.values())))
        size = sum(v.size for v in (*case.feeds.values(), *case.truth.values())) // batch
        if size > MOST_FLOATS or case.check or case.probes:
            continue
        allowed = {name: budgets.budget_of(case, name).atol for name in names}
        alone = case.rows_alone or entry.rows.ok or batch == 1
        for row in list(dict.fromkeys((0, batch - 1)))[:MOST_ROWS] if alone else ():
            yield SelfTestCase(
                f"{case.name}, sequence {row}",
                {name: value[row] for name, value in case.feeds.items()},
                {name: case.truth[name][row] for name in names},
                allowed,
            )


def _one_case(index: int, case: SelfTestCase, interface: CInterface, entry: EntryPoint) -> str:
    """Return the arrays of a case, and the function that runs it."""
    steps = _steps(case, interface)
    arrays = [
        _array(f"case_{index}_in_{i}", case.feeds[t.name], t.type)
        for i, t in enumerate(interface.inputs)
    ]
    initial = []
    fields = {(s.layer, s.role): s for s in interface.states}
    for i, state in enumerate(entry.states):
        given = case.feeds.get(state.tensor.name)
        if given is not None:
            name, field = f"case_{index}_state_{i}", fields[state.key].field
            arrays.append(_array(name, given, "float"))
            initial.append(f"    memcpy(state.{field}, {name}, sizeof state.{field});\n")
    arrays += [
        _array(f"case_{index}_out_{i}", case.truth[t.name], "double")
        for i, t in enumerate(entry.all_outputs)
    ]
    outputs = [f"    float out_{i}[{_size(t, steps)}];\n" for i, t in enumerate(interface.outputs)]
    begin = "    model_reset(&state);\n" + "".join(initial)
    inputs = [f"case_{index}_in_{i}" for i in range(len(interface.inputs))]
    results = [f"out_{i}" for i in range(len(interface.outputs))]
    compared = "".join(_compared(index, case, interface, entry))
    call = interface.run(inputs, [str(steps[name]) for name in interface.steps], results, "work")
    lines = [f"static int case_{index}(void)\n{{\n", "    model_state state;\n", *outputs]
    if interface.work:
        lengths = ", ".join(str(steps[name]) for name in interface.steps)
        lines.append(f"    float work[MODEL_WORK_FLOATS({lengths})];\n")
    if interface.step:
        lines.append("    size_t t;\n")
    title = f'"{case.name}, whole"'
    lines += [f"    int failed = 0;\n{begin}", f"    failed += {call} != MODEL_OK;\n"]
    lines.append(compared.replace("TITLE", title))
    if interface.step:
        lines += _by_steps(index, case, interface, steps, begin)
        lines.append(compared.replace("TITLE", f'"{case.name}, step by step"'))
    return "\n".join(arrays) + "\n" + "".join(lines) + "    return failed;\n}\n"


def _by_steps(
    index: int, case: SelfTestCase, interface: CInterface, steps: dict[str, int], begin: str
) -> list[str]:
    def at(name: str, tensor: CTensor) -> str:
        return name if tensor.steps is None else f"{name} + t * {tensor.size}"

    inputs = [at(f"case_{index}_in_{i}", t) for i, t in enumerate(interface.inputs)]
    outputs = [at(f"out_{i}", t) for i, t in enumerate(interface.outputs)]
    (length,) = steps.values()
    cleared = "".join(
        f"    memset(out_{i}, 0, sizeof out_{i});\n" for i in range(len(interface.outputs))
    )
    call = interface.one_step(inputs, outputs)
    loop = f"    for (t = 0; t < {length}; t++) {{\n        failed += {call} != MODEL_OK;\n    }}\n"
    return [begin, cleared, loop]


def _compared(
    index: int, case: SelfTestCase, interface: CInterface, entry: EntryPoint
) -> Iterator[str]:
    fields = {(s.layer, s.role): s.field for s in interface.states}
    places = [f"out_{i}" for i in range(len(interface.outputs))]
    places += [f"state.{fields[state.key]}" for state in entry.states]
    for i, (tensor, place) in enumerate(zip(entry.all_outputs, places, strict=True)):
        budget, size = case.budgets[tensor.name], case.truth[tensor.name].size
        yield (
            f'    failed += differs(TITLE, "{_text(tensor.name)}", {place}, case_{index}_out_{i},'
            f" {size}, {budget!r});\n"
        )


def _steps(case: SelfTestCase, interface: CInterface) -> dict[str, int]:
    """Return the length of each kind of sequence in a case."""
    return {t.steps: len(case.feeds[t.name]) for t in interface.inputs if t.steps is not None}


def _size(tensor: CTensor, steps: dict[str, int]) -> int:
    return tensor.size * (1 if tensor.steps is None else steps[tensor.steps])


def _array(name: str, value: Array, kind: str) -> str:
    flat = np.asarray(value).reshape(-1).tolist()
    suffix = "f" if kind == "float" else ""
    words = [_word(number, suffix) for number in flat]
    rows = (words[i : i + PER_LINE] for i in range(0, len(words), PER_LINE))
    body = "".join(f"    {', '.join(row)},\n" for row in rows)
    return f"static const {kind} {name}[{len(words)}] = {{\n{body}}};"


def _word(number: float | int | bool, suffix: str) -> str:
    if isinstance(number, bool | int):
        return str(int(number))
    if number != number:
        return "NAN"
    if number in (float("inf"), float("-inf")):
        return "INFINITY" if number > 0 else "-INFINITY"
    return f"{number!r}{suffix}"


def _text(name: str) -> str:
    """Escape text for a string constant of C."""
    return "".join(c if c.isalnum() or c in " _.,:/-" else "_" for c in name if c.isascii())


_FILE = """\
/* Golden vectors of the original model with their budgets: compile this file with the others, with
   the compiler and the flags that you use for your program, and run it:

       cc model.c model_weights.c model_selftest.c -lm && ./a.out

   It prints what is wrong and ends with 1, or with 0. Define MODEL_SELFTEST_QUIET to leave printf
   out, and MODEL_SELFTEST_MAIN to the name of a function that your program calls in place of main.
   The vectors are const. */
#include "model.h"

#include <math.h>
#include <string.h>

#ifdef MODEL_SELFTEST_QUIET
#define MODEL_SELFTEST_SAY(...) ((void)0)
#else
#include <stdio.h>
#define MODEL_SELFTEST_SAY(...) ((void)printf(__VA_ARGS__))
#endif
#ifndef MODEL_SELFTEST_MAIN
#define MODEL_SELFTEST_MAIN main
#endif

/* 1 if an element is off by more than the budget, or is NaN where the other is not. */
static int differs(const char *title, const char *name, const float *got, const double *wanted,
                   size_t count, double budget)
{{
    size_t i;
    (void)title;
    (void)name;
    for (i = 0; i < count; i++) {{
        double value = (double)got[i];
        int same = value == wanted[i] || (value != value && wanted[i] != wanted[i]);
        if (!same && !(fabs(value - wanted[i]) <= budget)) {{
            MODEL_SELFTEST_SAY("%s: %s[%lu] is %.9g, expected %.9g within %.3g\\n", title, name,
                               (unsigned long)i, value, wanted[i], budget);
            return 1;
        }}
    }}
    return 0;
}}

{cases}
int MODEL_SELFTEST_MAIN(void);

int MODEL_SELFTEST_MAIN(void)
{{
    int failed = 0;
{calls}    MODEL_SELFTEST_SAY("%s: %d of {count} golden vectors wrong\\n",
                       failed ? "FAILED" : "passed", failed);
    return failed != 0;
}}
"""
