"""README.md of a C package: the files, and how to use them in other build systems."""

from rnn_deploy.packaging.c.interface import CInterface
from rnn_deploy.spec import DECODE, ENCODE


def readme(model: str, interface: CInterface) -> str:
    """Return the file's text."""
    inputs = [t.identifier for t in interface.inputs]
    outputs = [t.identifier for t in interface.outputs]
    same = {name: name for name in interface.steps}
    if interface.step:
        call = f"{interface.one_step(inputs, outputs, same, 'work')}; /* for each step */"
    else:
        call = f"{interface.run(inputs, list(interface.steps), outputs, 'work')};"
    shown = model.replace("`", "'").replace("\n", " ")
    text = _README.replace("@MODEL@", shown).replace("@CALL@", call)
    return text.replace("@HALVES@", _halves(interface))


def _halves(interface: CInterface) -> str:
    """Return how encoder and decoder are called by themselves; empty for other models."""
    if not interface.halves:
        return ""
    encode, decode = (interface.halves[name] for name in (ENCODE, DECODE))
    fields = {f"{state.layer}_{state.role}_in": state.field for state in decode.states}
    places = [
        f"state.{fields[t.name]}" if t.name in fields else t.identifier for t in encode.outputs
    ]
    first = encode.run([t.identifier for t in encode.inputs], list(encode.steps), places, "work")
    same = {name: name for name in decode.steps}
    step = decode.one_step(
        [t.identifier for t in decode.inputs], [t.identifier for t in decode.outputs], same, "work"
    )
    return _HALVES.replace("@ENCODE@", first).replace("@DECODE@", step)


_HALVES = """
This model has an encoder and a decoder, which are called by themselves to generate a sequence: the
decoder's token is that which the caller chose from the output before.

```c
model_decode_state state;
model_decode_reset(&state);
@ENCODE@;
for (;;) {
    @DECODE@;
}
```

What is of no use to your program is removed by `-ffunction-sections -Wl,--gc-sections`.
"""
_README = """\
# `@MODEL@` in C

| file | what it is |
|---|---|
| model.h | the functions and `model_state`; sizes, digest and error budget |
| model.c | the code: C99, no malloc, no global variables, reentrant |
| model_weights.c | the weights: constants, which stay in flash |
| model_selftest.c | golden vectors with their budgets; not part of your program |

```c
#include "model.h"

model_state state;
model_reset(&state);
@CALL@
```
@HALVES@
Prove your compiler and flags first: `cc model.c model_weights.c model_selftest.c -lm && ./a.out`.
Compile with `-O3` (or `-O2`), and for the processor that it runs on (`-march=native`, `-mcpu=...`):
that is several times faster with 32 units and more, and with `-mprefer-vector-width=512` again
where the processor has AVX-512. `-ffast-math` is refused, since NaN, infinities and the error
budget would not hold. `-DMODEL_USE_LIBM` takes tanh and exp from the C library. In debug builds an
assertion finds a state that belongs to another model; `-DNDEBUG` removes it.

A `model_state` is a plain struct: one for each sequence, copied with `=`, written to a file to
resume. Functions of one model may run in many threads at once, each with its own state.

## Build systems

**CMake**
```cmake
add_library(model STATIC model.c model_weights.c)
target_include_directories(model PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
set_target_properties(model PROPERTIES C_STANDARD 99)
target_link_libraries(model PUBLIC m)   # not on Windows
```

**Arduino**: put model.h, model.c and model_weights.c beside the sketch (or in `src/` of a library);
`#include "model.h"` in the sketch. The header has the `extern "C"` that a sketch needs.

**ESP-IDF**: in the component's CMakeLists.txt
```cmake
idf_component_register(SRCS "main.c" "model.c" "model_weights.c" INCLUDE_DIRS ".")
```

**Zephyr**: in the application's CMakeLists.txt
```cmake
target_sources(app PRIVATE src/main.c src/model.c src/model_weights.c)
target_include_directories(app PRIVATE src)
```
and `CONFIG_REQUIRES_FULL_LIBC=y` in prj.conf for the functions of math.h.

**JUCE**: keep one `model_state` for each channel in your AudioProcessor, call `model_reset` in
`prepareToPlay` and `model_step` for each sample in `processBlock`; nothing allocates or locks.
```cmake
target_sources(MyPlugin PRIVATE model.c model_weights.c)
```

**Emscripten**
```sh
emcc -O3 -msimd128 model.c model_weights.c glue.c -o model.js -sEXPORTED_FUNCTIONS=_glue
```
"""
