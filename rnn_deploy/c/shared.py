"""model_shared.c: the same functions for a shared library, with one signature for all models.

A language that loads the library needs no knowledge of the model's own arguments: everything is
passed in arrays of pointers, in the order of the entry point's inputs, states and outputs.
"""

from collections.abc import Sequence

from rnn_deploy.c.functions import FunctionWriter
from rnn_deploy.c.ir import Value
from rnn_deploy.c.layout import C_TYPES

SHARED = "model_shared.c"


def shared_source(writers: Sequence[FunctionWriter]) -> str:
    """Return the file's text."""
    whole, *halves = map(_entry, writers)
    return _SHARED.replace("@ENTRIES@", "\n".join([whole, *halves]))


def _entry(writer: FunctionWriter) -> str:
    """Return the functions of one entry point."""
    layout, program = writer.layout, writer.program
    times = list(layout.steps)
    free = layout.fields[: layout.free] if writer.keeps_state else []

    def whole(value: Value) -> str:
        sizes = [f"call->steps[{times.index(t)}]" for t in (value.time, value.over) if t]
        return " * ".join([*sizes, *([f"{value.size}"] if value.over is None else [])])

    inputs = [
        f"(const {C_TYPES[v.dtype]} *)call->inputs[{i}] + row * ({whole(v)})"
        for i, v in enumerate(program.inputs)
    ]
    outputs = [
        f"({C_TYPES[v.dtype]} *)call->outputs[{i}] + row * ({whole(v)})"
        for i, (_, v) in enumerate(program.outputs)
    ]
    arguments = [
        *(["&state"] if writer.keeps_state else []),
        *inputs,
        *(["NULL"] if layout.mask_root is not None else []),
        *(f"call->steps[{i}]" for i in range(len(times))),
        *outputs,
        *(["call->work"] if writer.takes_work else []),
    ]
    taken = [
        f"memcpy(state.{f.name}, call->states[{i}] + row * {f.size}, sizeof state.{f.name});"
        for i, f in enumerate(free)
    ]
    handed = [
        f"memcpy(call->next_states[{i}] + row * {f.size}, state.{f.name}, sizeof state.{f.name});"
        for i, f in enumerate(free)
    ]
    steps = ", ".join(f"steps[{i}]" for i in range(len(times)))
    work = f"{writer.prefix.upper()}_WORK_FLOATS({steps})" if writer.takes_work else "0"
    time_of = ", ".join(str(times.index(v.time) if v.time else -1) for v in program.inputs)
    return _ENTRY.format(
        name=writer.prefix,
        declared=f"    {writer.prefix}_state state;\n" if writer.keeps_state else "",
        reset=f"        {writer.prefix}_reset(&state);\n" if writer.keeps_state else "",
        arguments=",\n            ".join(arguments),
        taken=_if("states", taken),
        handed=_if("next_states", handed),
        work=work,
        unused="" if "steps" in work else "    (void)steps;\n",
        time_of=time_of,
        count=len(program.inputs),
    )


def _if(given: str, lines: list[str]) -> str:
    """Return statements for an entry point that has states."""
    if not lines:
        return ""
    inner = "".join(f"            {line}\n" for line in lines)
    return f"        if (call->{given} != NULL) {{\n{inner}        }}\n"


_SHARED = """\
/* The model as a shared library with one signature for all models; a program in C needs only
   model.h, model.c and model_weights.c. Arrays are in the order of the entry point's tensors, each
   (rows, ...); every row is a sequence of its own. Without `states` each begins at zero. */
#include "model.h"

#include <string.h>

#if defined(_WIN32)
#define MODEL_EXPORT __declspec(dllexport)
#else
#define MODEL_EXPORT
#endif

typedef struct {
    size_t rows;
    const size_t *steps;
    const void *const *inputs;
    const float *const *states;
    void *const *outputs;
    float *const *next_states;
    float *work;
} model_call;

MODEL_EXPORT int model_abi(void);

MODEL_EXPORT int model_abi(void)
{
    return MODEL_ABI;
}

@ENTRIES@"""
_ENTRY = """\
MODEL_EXPORT int {name}_time_of(int input);
MODEL_EXPORT size_t {name}_work_floats(const size_t *steps);
MODEL_EXPORT int {name}_call_rows(const model_call *call);

/* Which element of `steps` is the length of an input; -1 for one without time. */
MODEL_EXPORT int {name}_time_of(int input)
{{
    static const int times[{count}] = {{{time_of}}};
    return times[input];
}}

/* How many floats `work` must have. */
MODEL_EXPORT size_t {name}_work_floats(const size_t *steps)
{{
{unused}    return {work};
}}

/* Whole sequences from the states given; the error of the first row that has one. */
MODEL_EXPORT int {name}_call_rows(const model_call *call)
{{
{declared}    size_t row;
    int error;
    for (row = 0; row < call->rows; row++) {{
{reset}{taken}        error = {name}_run(
            {arguments});
        if (error != MODEL_OK) {{
            return error;
        }}
{handed}    }}
    return MODEL_OK;
}}
"""
