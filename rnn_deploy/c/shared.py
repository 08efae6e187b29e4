"""model_shared.c: the same functions for a shared library, with one signature for all models.

A language that loads the library needs no knowledge of the model's own arguments: everything is
passed in arrays of pointers, in the order of the entry point's inputs, states and outputs.
"""

from rnn_deploy.c.functions import FunctionWriter
from rnn_deploy.c.layout import C_TYPES

SHARED = "model_shared.c"


def shared_source(writer: FunctionWriter) -> str:
    """Return the file's text."""
    layout, program = writer.layout, writer.program
    times = list(layout.steps)
    free = layout.fields[: layout.free]

    def whole(value: object, size: int, time: str | None) -> str:
        return f"{size} * call->steps[{times.index(time)}]" if time is not None else f"{size}"

    inputs = [
        f"(const {C_TYPES[v.dtype]} *)call->inputs[{i}] + row * ({whole(v, v.size, v.time)})"
        for i, v in enumerate(program.inputs)
    ]
    outputs = [
        f"call->outputs[{i}] + row * ({whole(v, v.size, v.time)})"
        for i, (_, v) in enumerate(program.outputs)
    ]
    arguments = [
        "&state",
        *inputs,
        *(["NULL"] if layout.mask_root is not None else []),
        *(f"call->steps[{i}]" for i in range(len(times))),
        *outputs,
        *([] if writer.by_steps else ["call->work"]),
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
    work = "0" if writer.by_steps else f"MODEL_WORK_FLOATS({steps})"
    time_of = ", ".join(str(times.index(v.time) if v.time else -1) for v in program.inputs)
    return _SHARED.format(
        arguments=",\n            ".join(arguments),
        taken=_if("states", taken),
        handed=_if("next_states", handed),
        work=work,
        unused="    (void)steps;\n" if work == "0" else "",
        time_of=time_of,
        count=len(program.inputs),
    )


def _if(given: str, lines: list[str]) -> str:
    """Statements for an entry point that has states."""
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

typedef struct {{
    size_t rows;
    const size_t *steps;
    const void *const *inputs;
    const float *const *states;
    float *const *outputs;
    float *const *next_states;
    float *work;
}} model_call;

MODEL_EXPORT int model_abi(void);
MODEL_EXPORT int model_time_of(int input);
MODEL_EXPORT size_t model_work_floats(const size_t *steps);
MODEL_EXPORT int model_call_rows(const model_call *call);

MODEL_EXPORT int model_abi(void)
{{
    return MODEL_ABI;
}}

/* Which element of `steps` is the length of an input; -1 for one without time. */
MODEL_EXPORT int model_time_of(int input)
{{
    static const int times[{count}] = {{{time_of}}};
    return times[input];
}}

/* How many floats `work` must have. */
MODEL_EXPORT size_t model_work_floats(const size_t *steps)
{{
{unused}    return {work};
}}

/* Whole sequences from the states given; the error of the first row that has one. */
MODEL_EXPORT int model_call_rows(const model_call *call)
{{
    model_state state;
    size_t row;
    int error;
    for (row = 0; row < call->rows; row++) {{
        model_reset(&state);
{taken}        error = model_run(
            {arguments});
        if (error != MODEL_OK) {{
            return error;
        }}
{handed}    }}
    return MODEL_OK;
}}
"""
