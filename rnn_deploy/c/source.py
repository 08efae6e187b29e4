"""The C files of a program: model.h, model.c, model_weights.c. One program gives the same bytes.

Every identifier begins with `model_` or `MODEL_`, so that another name can be put in their place.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.c.blocks import Use, source_of
from rnn_deploy.c.description import interface_of
from rnn_deploy.c.entry import functions_of
from rnn_deploy.c.functions import FunctionWriter
from rnn_deploy.c.halves import Halves
from rnn_deploy.c.header import ALIGNED, header_text, multiplications
from rnn_deploy.c.ir import Program
from rnn_deploy.c.layout import Layout
from rnn_deploy.c.names import comment_text
from rnn_deploy.c.schedule import schedule
from rnn_deploy.c.shared import SHARED, shared_source
from rnn_deploy.c.storage import FLOAT32
from rnn_deploy.c.weights import WeightTable
from rnn_deploy.spec import DECODE, ENCODE, StateKey

HEADER, SOURCE, WEIGHTS = "model.h", "model.c", "model_weights.c"
_GUARD = """\
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) \\
    || defined(_M_FP_FAST)
#error "compile this file without -ffast-math: NaN, infinities and the budget depend on it"
#endif
/* The activations round by adding a large number, which needs floats without excess precision.
   Methods 16 and 32 are about shorter types. */
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 \\
    && FLT_EVAL_METHOD != 32 && !defined(MODEL_USE_LIBM)
#define MODEL_USE_LIBM
#endif
"""


@dataclass(frozen=True)
class CModel:
    """The files by name, and facts about them.

    interface: how the functions are called, for who writes a program around them. float_bytes: what
    the weights would take in float32.
    """

    files: dict[str, str]
    notes: tuple[str, ...]
    details: dict[str, int]
    interface: dict[str, Any]
    float_bytes: int


def c_model(
    program: Program,
    states: Sequence[StateKey] = (),
    storage: str = FLOAT32,
    halves: Halves | None = None,
) -> CModel:
    """Write a program.

    states: those of the stream entry point, in order; they come first in `model_state`. storage:
    how matrices are kept, see storage.py. halves: the programs of encode and decode.
    """
    writers = list(_writers(program, states, WeightTable(storage), halves))
    functions = "\n".join(text for writer in writers for text in functions_of(writer))
    whole = writers[0]
    blocks = source_of(whole.uses)
    weights = (
        f"/* The weights of '{comment_text(program.name)}': {whole.weights.bytes:,} bytes. */\n"
        f'#include "{HEADER}"\n\n{ALIGNED}\n'
        f"{whole.weights.declarations()}\n{whole.weights.definitions()}"
    )
    body = f"{whole.weights.declarations()}\n{blocks}\n{functions}"
    digest = hashlib.sha256((weights + body).encode()).hexdigest()
    source = (
        f"/* '{comment_text(program.name)}' as C99; {HEADER} says how it is used. */\n"
        f'#include "{HEADER}"\n\n#include <assert.h>\n#include <float.h>\n#include <math.h>\n'
        f"#include <string.h>\n\n{_GUARD}{ALIGNED}\n{body}"
    )
    files = {HEADER: header_text(writers, digest), SOURCE: source, WEIGHTS: weights}
    files[SHARED] = shared_source(writers)
    details = {
        "weight_bytes": whole.weights.bytes,
        "state_bytes": 4 * whole.layout.floats + 4,
        "multiplications": multiplications(program),
    }
    notes = tuple(dict.fromkeys(note for writer in writers for note in _notes(writer.layout)))
    return CModel(files, notes, details, interface_of(writers), whole.weights.float_bytes)


def _writers(
    program: Program, states: Sequence[StateKey], weights: WeightTable, halves: Halves | None
) -> Iterator[FunctionWriter]:
    """Yield a writer for each entry point, the whole model first; they share the weights."""
    parts = [("", program, states)]
    if halves is not None:
        parts += [(ENCODE, halves.encode, ()), (DECODE, halves.decode, halves.states)]
    uses: set[Use] = set()
    for entry, part, keys in parts:
        layout = Layout(schedule(part))
        layout.place_states(keys)
        yield FunctionWriter(layout, entry, weights, uses)


def _notes(layout: Layout) -> list[str]:
    return [
        f"'{name}' is no identifier of C; it is called {identifier} there"
        for name, identifier in layout.names.changed.items()
    ]
