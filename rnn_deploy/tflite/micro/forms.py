"""The forms in which a whole sequence can be written, and which of them a device gets.

Each form writes all recurrent layers in one lowering. All are converted and measured, since an
arena is known only by running the file. Of the forms that fit the budget, the one with the smallest
arena is written: TFLite-Micro takes about as long for any of them, because its products cost most
(a GRU of 32 units over 49 steps: 1 for `single`, 1.0 for `loop`, 1.1 for `inplace`, 1.4 for
`unrolled`, on x86-64).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.formats.lowerings import AUTO
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan
from rnn_deploy.spec import SEQUENCE, Recurrence
from rnn_deploy.tflite.choice import SHORT, TFLITE_LOWERINGS
from rnn_deploy.tflite.format import (
    INPLACE,
    LOOP,
    SINGLE,
    UNROLLED,
    TfliteLoweringRequest,
    request_from,
)
from rnn_deploy.tflite.micro.budget import OPTION, MemoryBudget, budget_of
from rnn_deploy.tflite.micro.source import MicroFile
from rnn_deploy.tflite.writer import TfliteEntry, parts_of

REQUESTED = "requested"
# Writes one form; raises UnsupportedModelError if TFLite-Micro or the quantiser cannot do it.
WriteForm = Callable[[TfliteEntry], MicroFile]


def forms_of(plan: ExportPlan, options: ExportOptions) -> dict[str, TfliteEntry]:
    """Return the sequence entry point in every form by name; a requested form comes first."""
    request = request_from(options)
    forms: dict[str, TfliteEntry] = {}
    if request.lowering != AUTO or request.by_layer:
        forms[REQUESTED] = _form(plan, request)
    layers = plan.sequence.trace.layers
    for name in _names(layers, quantised=options.quantised):
        form = _form(plan, TfliteLoweringRequest(name))
        if _lowerings(form) not in map(_lowerings, forms.values()):
            forms[name] = form
    return forms


def chosen(
    forms: dict[str, TfliteEntry], write: WriteForm, options: ExportOptions
) -> tuple[MicroFile, bool]:
    """Return the sequence's file with the alternatives in its details, and whether it fits.

    Raise UnsupportedModelError if the requested form, or each form, cannot be written.
    """
    budget = budget_of(options[OPTION.name])
    files: dict[str, MicroFile] = {}
    failures: dict[str, UnsupportedModelError] = {}
    for name, form in forms.items():
        try:
            files[name] = write(form)
        except UnsupportedModelError as error:
            if name == REQUESTED:
                raise
            failures[name] = error
    if not files:
        raise next(iter(failures.values()))
    name, fits = _best(files, budget)
    rows = [
        *(_row(_label(form, forms[form]), file) for form, file in files.items() if form != name),
        *({"lowering": form, "not possible": error.message} for form, error in failures.items()),
    ]
    file = files[name]
    if name != REQUESTED:
        reason = "smallest arena that fits the budget" if budget and fits else "smallest arena"
        choices = [
            replace(c, reason=c.reason.replace("requested", reason, 1)) for c in file.choices
        ]
        file = replace(file, choices=tuple(choices))
    return replace(file, alternatives=tuple(rows)), fits


def over_budget(
    model: str, budget: MemoryBudget, sequence: MicroFile, stream: MicroFile | None
) -> list[str]:
    """Return a note on each file that does not fit the budget, beside another that does.

    Raise UnsupportedModelError if no file fits.
    """
    files = [file for file in (sequence, stream) if file is not None]
    fitting = [file for file in files if budget.fits(file.arena, len(file.content))]
    if not fitting:
        rows = [_size(file) for file in files]
        rows += [
            f"as {row['lowering']} an arena of {row['arena']:,} B and {row['flash']:,} B of flash"
            for row in sequence.alternatives
            if "arena" in row
        ]
        raise UnsupportedModelError(
            "E-MODEL-BUDGET",
            f"model '{model}' does not fit the budget ({budget}): {'; '.join(rows)}; use a smaller"
            " model, fewer steps (--time N), or --quantize int8, which makes weights smaller",
        )
    return [
        f"{_size(file)}, more than the budget ({budget}); on the device use {fitting[0].path},"
        " which fits"
        for file in files
        if file not in fitting
    ]


def _size(file: MicroFile) -> str:
    return f"{file.path} needs an arena of {file.arena:,} B and {len(file.content):,} B of flash"


def _best(files: dict[str, MicroFile], budget: MemoryBudget) -> tuple[str, bool]:
    allowed = {REQUESTED: files[REQUESTED]} if REQUESTED in files else files
    fitting = {n: f for n, f in allowed.items() if budget.fits(f.arena, len(f.content))}
    candidates = fitting or allowed
    name = min(candidates, key=lambda n: (candidates[n].arena, len(candidates[n].content)))
    return name, bool(fitting)


def _row(name: str, file: MicroFile) -> dict[str, Any]:
    return {"lowering": name, "arena": file.arena, "flash": len(file.content)}


def _label(name: str, form: TfliteEntry) -> str:
    return name if name != REQUESTED else ", ".join(_lowerings(form))


def _form(plan: ExportPlan, request: TfliteLoweringRequest) -> TfliteEntry:
    parts = parts_of(plan, request, plain=True, loop=LOOP)
    return next(part for part in parts if part.entry.name == SEQUENCE)


def _lowerings(form: TfliteEntry) -> tuple[str, ...]:
    return tuple(choice.lowering for choice in form.choices)


def _names(layers: Sequence[Recurrence], *, quantised: bool) -> list[str]:
    # In place, products and outputs share a buffer, and so the one scale that int8 gives it.
    names = [SINGLE, LOOP, *([] if quantised else [INPLACE])]
    short = all(layer.steps is not None and layer.steps <= SHORT for layer in layers)
    if short and all(TFLITE_LOWERINGS[UNROLLED].support(layer).ok for layer in layers):
        names.append(UNROLLED)
    return names if layers else names[:1]
