"""The plan of an export: the model's entry points, decided before anything is written.

    options, Keras model --plan_of--> ExportPlan: a trace and an entry point for `sequence`, and for
                                      `stream` if the model has states to carry

The stream entry point takes chunks of any length. So a model that fixes its number of steps is
traced once more with time open.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting.halves import split_plan
from rnn_deploy.exporting.open_time import has_fixed_time, opened_outputs, symbols_for_fixed
from rnn_deploy.exporting.sizes import remembers_sizes, with_sizes
from rnn_deploy.formats.options import OPEN, ExportOptions
from rnn_deploy.formats.read_model import ExportPlan, TracedEntry
from rnn_deploy.keras.access import is_a, layers_in
from rnn_deploy.keras.along_time import looking_along_time
from rnn_deploy.keras.intercept import holds_state
from rnn_deploy.keras.lengths import has_open_length, with_tied_lengths
from rnn_deploy.keras.probing import Folded, output_specs, takes_lengths, used_dtypes, within_steps
from rnn_deploy.keras.reading import refusals_of, refuse
from rnn_deploy.keras.signature import (
    Signature,
    signature_of,
    taking_any_length,
    with_time,
    with_used_dtypes,
)
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.keras.tracing import Trace, trace_markers, with_facts
from rnn_deploy.references.golden import UNTRIED
from rnn_deploy.references.reference import states_of
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint, Support

MOST_BYTES = 2_000_000_000  # a protocol buffer holds 2 GiB, and the graph needs a part of it
# The sequence entry point, and the layers whose rows are not the batch.
Probed = tuple[TracedEntry, tuple[Folded, ...]]


def plan_of(model: Any, options: ExportOptions) -> ExportPlan:
    """Read and trace a Keras model; raise UnsupportedModelError that lists every refusal."""
    refuse(model, refusals_of(model))
    _refuse_large(model)
    if options.state == "keep" and not any(map(holds_state, layers_in(model))):
        raise InputError(
            "E-EXPORT-STATE-KEEP",
            f"--state keep: no layer of model '{model.name}' holds a state; a stateful layer holds"
            " one after the model has run: run it first, or remove --state keep",
        )
    signature, notes = with_sizes(model, signature_of(model, options.samples), options)
    signature = with_tied_lengths(model, signature)
    trace = trace_markers(model, signature)
    typed = signature if options.samples else with_used_dtypes(model, signature, used_dtypes(trace))
    if typed != signature:
        signature, trace = typed, trace_markers(model, typed)
    _refuse_equal_names(trace)
    signature = with_facts(signature, trace)
    trace = replace(trace, signature=signature)
    (own, folded), opened_notes = _with_open_time(model, _entry_of(model, trace), options)
    sequence = _fixed(model, own, options.time) if isinstance(options.time, int) else own
    constraints = options.constraints
    if constraints.fixed_shapes:
        _refuse_open(sequence.entry, options)
    stream, why = _stream(model, own, folded) if options.state == "input" else (None, ())
    opened = stream is not None and stream.trace is not own.trace
    unused = tuple(f"layer '{name}' is left out: no output depends on it" for name in trace.unused)
    fixed = _notes_on_fixed_time(sequence.entry) if options.time is None else ()
    notes = (*notes, *opened_notes, *why, *unused, *fixed, *_notes(model, options.state))
    halves, split_notes = split_plan(model, sequence) if options.state == "input" else (None, ())
    return ExportPlan(model, sequence, stream, (*notes, *split_notes), opened, halves)


def _refuse_large(model: Any) -> None:
    """Raise UnsupportedModelError if the weights are too large for a TensorFlow graph."""
    weights = {id(weight): weight for weight in model.weights}.values()
    # Keras 2 has TensorFlow's own variables.
    sizes = {
        getattr(w, "path", w.name): math.prod(w.shape)
        * np.dtype(keras.backend.standardize_dtype(w.dtype)).itemsize
        for w in weights
    }
    total = sum(sizes.values())
    if total > MOST_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        raise UnsupportedModelError(
            "E-MODEL-TOO-LARGE",
            f"model '{model.name}' has {total / 1e9:.1f} GB of weights, and TensorFlow's graphs"
            f" hold at most {MOST_BYTES / 1e9:.1f} GB; the largest is '{largest}'"
            f" ({sizes[largest] / 1e9:.1f} GB). If it is an Embedding, look its rows up outside the"
            " model, and export the model that starts behind it",
        )


def _refuse_open(sequence: EntryPoint, options: ExportOptions) -> None:
    for tensor in sequence.inputs:
        if any(isinstance(dim, str) for dim in tensor.shape):
            raise InputError(
                "E-EXPORT-OPEN-SHAPE",
                f"--to {options.formats[0].name} needs fixed shapes, and input '{tensor}' has an"
                " open one; add --time N, or give the model a fixed shape",
            )


def _fixed(model: Any, own: TracedEntry, time: int) -> TracedEntry:
    """Return the sequence entry point with its open lengths fixed."""
    signature = own.trace.signature
    if not any(map(has_open_length, signature.inputs)):
        fixed = [tensor.shape[1] for tensor in signature.inputs if has_fixed_time(tensor)]
        if fixed and all(length == time for length in fixed):
            return own
        raise InputError(
            "E-EXPORT-TIME-FIXED",
            f"--time {time}: no input of the model has an open number of steps; remove --time",
        )
    signature = with_time(signature, lambda t: time if has_open_length(t) else t.shape[1])
    return _traced_anew(model, signature)[0]


def _traced_anew(model: Any, signature: Signature) -> Probed:
    return _entry_of(model, trace_markers(model, signature))


def _entry_of(model: Any, trace: Trace) -> Probed:
    """Return the sequence entry point of a trace."""
    outputs, folded = output_specs(model, trace)
    entry = EntryPoint(SEQUENCE, trace.signature.inputs, outputs)
    return TracedEntry(within_steps(trace, folded), entry), folded


def _with_open_time(
    model: Any, own: Probed, options: ExportOptions
) -> tuple[Probed, tuple[str, ...]]:
    """Return the sequence entry point with the steps that --time opens, or that are undeclared.

    Sizes that a model only remembers from its first call are open if it runs with other lengths.
    """
    signature = own[0].trace.signature
    symbols = symbols_for_fixed(signature.inputs)
    requested = options.time == OPEN
    if not symbols or not (requested or remembers_sizes(model)):
        return own, ()
    if options.constraints.fixed_shapes and not requested:
        return own, ()
    lengths = {t.shape[1] for t in signature.inputs if t.name in symbols}
    signature = with_time(signature, lambda t: symbols.get(t.name, t.shape[1]))
    if requested:
        with taking_any_length(model):
            return _traced_anew(model, signature), ()
    with taking_any_length(model):
        if not takes_lengths(model, signature):
            return own, ()
    steps = " and ".join(map(str, sorted(lengths, key=int)))
    note = (
        f"the number of steps ({steps}) of the model's first call is left open; --time N fixes it"
    )
    try:
        with taking_any_length(model):
            return _traced_anew(model, signature), (note,) if options.time is None else ()
    except UnsupportedModelError:
        return own, ()


def _refuse_equal_names(trace: Trace) -> None:
    """Refuse equal layer names, because layers are looked up by name from here on."""
    names = [layer.name for layer in trace.layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnsupportedModelError(
            "E-MODEL-SAME-NAME",
            f"layer '{twice[0]}': a cell in a list of cells has the same name; rename the layer",
        )


def _stream(
    model: Any, sequence: TracedEntry, folded: Sequence[Folded]
) -> tuple[TracedEntry | None, tuple[str, ...]]:
    trace = sequence.trace
    outputs = sequence.entry.outputs
    symbols = symbols_for_fixed(trace.signature.inputs)
    if symbols and any(layer.free for layer in trace.layers):
        opened = with_time(trace.signature, lambda t: symbols.get(t.name, t.shape[1]))
        try:
            trace = trace_markers(model, opened)
        except UnsupportedModelError as error:
            return None, (f"no stream entry point: with time open, {error.message}",)
        outputs = opened_outputs(sequence.entry, trace, symbols)
        if folded:  # with time open, steps in the rows can be distinguished from other axes
            _, folded = output_specs(model, trace)
            trace = within_steps(trace, folded)
    why = _why_no_stream(trace, folded)
    if why is not None:
        return None, (f"no stream entry point: {why}",)
    inputs = trace.signature.inputs
    states = states_of(
        trace.layers, inputs[0].shape[0], taken=[tensor.name for tensor in (*inputs, *outputs)]
    )
    entry = EntryPoint(STREAM, inputs, outputs, states)
    return TracedEntry(trace, entry), ()


def _why_no_stream(trace: Trace, folded: Sequence[Folded]) -> str | None:
    """Return why a model has no states to carry, or None if it has some."""
    if not trace.layers:
        return "the model has no recurrent layer"
    if all(layer.within_step for layer in trace.layers):
        return "recurrent layers run anew within each step"
    if not any(layer.free for layer in trace.layers):
        return "the model itself computes every initial state"
    for call in folded:
        if call.rows is not None:
            return (
                f"layer '{call.layer}' runs over {call.rows:g} rows for each sequence (another"
                " axis is folded into the batch), so its states are not those of a sequence"
            )
    return None


def _notes_on_fixed_time(sequence: EntryPoint) -> tuple[str, ...]:
    fixed = [t for t in sequence.inputs if has_fixed_time(t)]
    return tuple(
        f"input '{tensor.name}' takes sequences of exactly {tensor.shape[1]} steps, as the model"
        " was built; export with --time open to take any number, or run with --pad or --window"
        for tensor in fixed
    )


def _notes(model: Any, state: str) -> tuple[str, ...]:
    """Return notes that the user must know about the model's states."""
    if state == "reset":
        return ("no stream entry point, as requested: each call starts from zero states",)
    if state == "keep":
        return (
            "no stream entry point, as requested: each call starts from the states the model held",
        )
    recurrent = (x for x in layers_in(model) if is_a(x, "RNN"))
    layers = [layer for layer in recurrent if layer.stateful]
    return tuple(_note_of_stateful(layer) for layer in layers)


def _note_of_stateful(layer: Any) -> str:
    note = (
        f"layer '{layer.name}' is stateful: the sequence entry point starts from zero each time,"
        " and the stream entry point takes and returns the state"
    )
    held = keras.tree.flatten(layer.states) if holds_state(layer) else []
    if any(np.any(np.asarray(state)) for state in held):
        note += "; the state it holds now is left out (--state keep writes it into the file)"
    return note


def with_chunks(plan: ExportPlan, chunked: Support) -> ExportPlan:
    """Return the plan with the result of the chunk test: whether chunks equal the whole sequence.

    If they do not, the reason names the layers that look along time, and a note warns: another
    program that runs the model file in chunks gets wrong results without an error.
    """
    if plan.stream is None:
        return plan
    notes = plan.notes
    if not chunked.ok and chunked.reason != UNTRIED:
        layers = looking_along_time(plan.model)
        if layers:
            chunked = Support(False, f"{chunked.reason}; along time looks {', '.join(layers)}")
        notes = (*notes, f"do not feed the stream entry point in chunks: {chunked.reason}")
    entry = replace(plan.stream.entry, chunked=chunked)
    return replace(plan, stream=replace(plan.stream, entry=entry), notes=notes)


def with_rows(plan: ExportPlan, rows_of: Callable[[EntryPoint], Support]) -> ExportPlan:
    """Return the plan with the result of the row test: whether rows are independent."""

    def known(traced: TracedEntry) -> TracedEntry:
        return replace(traced, entry=replace(traced.entry, rows=rows_of(traced.entry)))

    stream = None if plan.stream is None else known(plan.stream)
    return replace(plan, sequence=known(plan.sequence), stream=stream)


def without_unchunked_stream(plan: ExportPlan) -> ExportPlan:
    """Return the plan without its stream, if single steps differ from the whole sequence."""
    if plan.stream is None or plan.stream.entry.chunked.ok:
        return plan
    reason = plan.stream.entry.chunked.reason
    kept = (note for note in plan.notes if not note.endswith(reason))
    note = f"no stream entry point for single steps: {reason}"
    return replace(plan, stream=None, notes=(*kept, note))
