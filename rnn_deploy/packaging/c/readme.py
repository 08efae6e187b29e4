"""README.md of a C package: the files, and how to use them in other build systems."""

from rnn_deploy.packaging.c.interface import CInterface


def readme(model: str, interface: CInterface) -> str:
    """Return the file's text."""
    inputs = [t.identifier for t in interface.inputs]
    outputs = [t.identifier for t in interface.outputs]
    if interface.step:
        call = f"{interface.one_step(inputs, outputs)}; /* for each step */"
    else:
        call = f"{interface.run(inputs, list(interface.steps), outputs, 'work')};"
    shown = model.replace("`", "'").replace("\n", " ")
    return _README.replace("@MODEL@", shown).replace("@CALL@", call)


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

Prove your compiler and flags first: `cc model.c model_weights.c model_selftest.c -lm && ./a.out`.
Compile with `-O3` (or `-O2`), and for the processor that it runs on (`-march=native`, `-mcpu=...`):
that is several times faster with 32 units and more. `-ffast-math` is refused, since NaN, infinities
and the error budget would not hold. `-DMODEL_USE_LIBM` takes tanh and exp from the C library. In
debug builds an assertion finds a state that belongs to another model; `-DNDEBUG` removes it.

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
