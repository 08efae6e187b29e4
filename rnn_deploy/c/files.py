"""The format "c": write the sources of a model into the folder `c` of a bundle."""

from pathlib import Path

from rnn_deploy.bundle import Artifact
from rnn_deploy.bundle.manifest import Extension, LoweringChoice, Quantisation
from rnn_deploy.c.format import FORMAT
from rnn_deploy.c.halves import Halves, halves_of
from rnn_deploy.c.ir import Program
from rnn_deploy.c.reading import ReadGraph, read_graph
from rnn_deploy.c.refusal import NotInCError
from rnn_deploy.c.source import SOURCE, WEIGHTS, CModel, c_model
from rnn_deploy.c.storage import FLOAT32
from rnn_deploy.formats.base import FormatFiles
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan, ReadModel
from rnn_deploy.spec import Recurrence

FOLDER = "c"


def choices(plan: ExportPlan, options: ExportOptions) -> list[tuple[str, LoweringChoice]]:
    """Return how each recurrent layer is written, with its entry point's name."""
    return [
        (traced.entry.name, _choice(layer))
        for traced in plan.traced
        for layer in traced.trace.layers
    ]


def write(read: ReadModel, folder: Path, options: ExportOptions) -> FormatFiles:
    """Write the sources; both entry points are in the same files."""
    plan = read.plan
    widest = plan.stream or plan.sequence
    graph = read_graph(plan.model, widest.trace.signature)
    program = graph.program
    states = [state.key for state in widest.entry.states]
    halves, why = _halves(graph, plan)
    storage = options.quantize if options.quantised else FLOAT32
    model = c_model(program, states, storage, halves)
    place = folder / FOLDER
    place.mkdir()
    for name, text in model.files.items():
        (place / name).write_text(text, encoding="utf-8", newline="\n")
    artifacts = (
        Artifact(
            f"{FOLDER}/{SOURCE}",
            FORMAT.name,
            traced.entry.name,
            tuple(map(_choice, traced.trace.layers)),
            f"{FOLDER}/{WEIGHTS}",
            model.details,
        )
        for traced in (plan.traced if halves is None else plan.all_traced)
    )
    others = (name for name in model.files if name not in (SOURCE, WEIGHTS))
    return FormatFiles(
        tuple(artifacts),
        extra=tuple(f"{FOLDER}/{name}" for name in others),
        notes=(*model.notes, *why),
        quantisation=_quantisation(program, model, options) if options.quantised else None,
        extension=Extension(model.interface),
    )


def _halves(graph: ReadGraph, plan: ExportPlan) -> tuple[Halves | None, tuple[str, ...]]:
    """Return the programs of encode and decode, or a note with the reason if the model has none."""
    if plan.halves is None:
        return None, ()
    try:
        return halves_of(graph, plan.halves), ()
    except NotInCError as error:
        return None, (f"no entry points encode and decode in C: {error.reason}",)


def _quantisation(program: Program, model: CModel, options: ExportOptions) -> Quantisation:
    """Describe the quantisation. Every matrix is quantised, so all recurrent weights are too."""
    count = len({node.cell.recurrent_kernel.tobytes() for node in program.cells})
    stored = model.details["weight_bytes"]
    return Quantisation(FORMAT.name, options.quantize, count, count, stored, model.float_bytes)


def _choice(layer: Recurrence) -> LoweringChoice:
    reason = "the only form: one function for a step, called for each step"
    return LoweringChoice(layer.name, layer.cell, layer.units, "step", reason)
