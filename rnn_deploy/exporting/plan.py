"""What the model is, and which entry points it gets: decided before anything is written.

    options, Keras model --plan_of--> ExportPlan: a trace and an entry point for `sequence`, and for
                                      `stream` if the model has states to carry

The stream entry point takes chunks of any length, so if the model fixes its number of steps it is
traced once more with time open.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan, TracedEntry
from rnn_deploy.keras.access import is_a, layers_in
from rnn_deploy.keras.intercept import holds_state
from rnn_deploy.keras.lengths import has_open_length, with_tied_lengths
from rnn_deploy.keras.reading import refusals_of, refuse
from rnn_deploy.keras.signature import TIME, Signature, signature_of, with_time
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.keras.tracing import Trace, output_specs, trace_markers, with_facts
from rnn_deploy.references.reference import states_of
from rnn_deploy.spec import SEQUENCE, STREAM, Dim, EntryPoint, Support, TensorSpec


def plan_of(model: Any, options: ExportOptions) -> ExportPlan:
    """Read and trace a Keras model; UnsupportedModelError lists every refusal."""
    refuse(model, refusals_of(model))
    if options.state == "keep" and not any(map(holds_state, layers_in(model))):
        raise InputError(
            "E-EXPORT-STATE-KEEP",
            f"--state keep: no layer of model '{model.name}' holds a state; a stateful layer holds"
            " one after the model has run: run it first, or remove --state keep",
        )
    signature = with_tied_lengths(model, signature_of(model, options.samples))
    constraints = options.constraints
    if constraints.batch is not None:
        signature = _with_batch(signature, constraints.batch)
    trace = trace_markers(model, signature)
    _refuse_equal_names(trace)
    signature = with_facts(signature, trace)
    trace = replace(trace, signature=signature)
    own = TracedEntry(trace, EntryPoint(SEQUENCE, signature.inputs, output_specs(model, trace)))
    sequence = own if options.time is None else _fixed(model, own, options.time)
    if constraints.fixed_shapes:
        _refuse_open(sequence.entry, options)
    stream, notes = _stream(model, own) if options.state == "input" else (None, ())
    opened = stream is not None and stream.trace is not own.trace
    unused = tuple(f"layer '{name}' is left out: no output depends on it" for name in trace.unused)
    fixed = _notes_on_fixed_time(sequence.entry) if options.time is None else ()
    notes = (*notes, *unused, *fixed, *_notes(model, options.state))
    return ExportPlan(model, sequence, stream, notes, opened)


def _with_batch(signature: Signature, size: int) -> Signature:
    """The signature with its batch fixed, if the model leaves it open."""

    def fixed(tensor: TensorSpec) -> TensorSpec:
        batch, *rest = tensor.shape
        return replace(tensor, shape=(size if isinstance(batch, str) else batch, *rest))

    return replace(signature, inputs=tuple(map(fixed, signature.inputs)))


def _refuse_open(sequence: EntryPoint, options: ExportOptions) -> None:
    for tensor in sequence.inputs:
        if any(isinstance(dim, str) for dim in tensor.shape):
            raise InputError(
                "E-EXPORT-OPEN-SHAPE",
                f"--to {options.formats[0].name} needs fixed shapes, and input '{tensor}' has an"
                " open one; add --time N, or give the model a fixed shape",
            )


def _fixed(model: Any, own: TracedEntry, time: int) -> TracedEntry:
    """The sequence entry point with its open lengths fixed."""
    signature = own.trace.signature
    if not any(map(has_open_length, signature.inputs)):
        raise InputError(
            "E-EXPORT-TIME-FIXED",
            f"--time {time}: no input of the model has an open number of steps; remove --time",
        )
    signature = with_time(signature, lambda t: time if has_open_length(t) else t.shape[1])
    trace = trace_markers(model, signature)
    return TracedEntry(trace, EntryPoint(SEQUENCE, signature.inputs, output_specs(model, trace)))


def _refuse_equal_names(trace: Trace) -> None:
    """Layers are known by name from here on; a list's cells are named after their place in it."""
    names = [layer.name for layer in trace.layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnsupportedModelError(
            "E-MODEL-SAME-NAME",
            f"layer '{twice[0]}': a cell in a list of cells has the same name; rename the layer",
        )


def _stream(model: Any, sequence: TracedEntry) -> tuple[TracedEntry | None, tuple[str, ...]]:
    trace = sequence.trace
    if not trace.layers:
        return None, ("no stream entry point: the model has no recurrent layer",)
    if all(layer.within_step for layer in trace.layers):
        return None, ("no stream entry point: recurrent layers run anew within each step",)
    if not any(layer.free for layer in trace.layers):
        return None, ("no stream entry point: the model itself gives every initial state",)
    outputs = sequence.entry.outputs
    symbols = _symbols_for_fixed(trace.signature.inputs)
    if symbols:
        opened = with_time(trace.signature, lambda t: symbols.get(t.name, t.shape[1]))
        try:
            trace = trace_markers(model, opened)
        except UnsupportedModelError as error:
            return None, (f"no stream entry point: with time open, {error.message}",)
        outputs = _opened_outputs(sequence.entry, trace, symbols)
    inputs = trace.signature.inputs
    states = states_of(
        trace.layers, inputs[0].shape[0], taken=[tensor.name for tensor in (*inputs, *outputs)]
    )
    entry = EntryPoint(STREAM, inputs, outputs, states)
    return TracedEntry(trace, entry), ()


def _symbols_for_fixed(inputs: Sequence[TensorSpec]) -> dict[str, str]:
    """A symbol for each input whose number of steps is fixed, to open it in the stream.

    Equal lengths are taken for one length. Beside an input of open length a fixed one is no
    sequence to be cut, but a context that stays as it is.
    """
    fixed = [tensor for tensor in inputs if _has_fixed_time(tensor)]
    if any(map(has_open_length, inputs)):
        return {}
    alone = len({tensor.shape[1] for tensor in fixed}) == 1
    return {tensor.name: TIME if alone else f"{tensor.name}_{TIME}" for tensor in fixed}


def _opened_outputs(
    sequence: EntryPoint, trace: Trace, symbols: Mapping[str, str]
) -> tuple[TensorSpec, ...]:
    """The outputs once time is open: what was as long as an input follows it."""
    outputs = sequence.outputs
    following: dict[Dim, set[str]] = {}
    for tensor in sequence.inputs:
        if tensor.name in symbols:
            following.setdefault(tensor.shape[1], set()).add(symbols[tensor.name])

    def dim(name: str, axis: int, before: Dim, now: int | None) -> Dim:
        if now is not None or isinstance(before, str):
            return before
        fitting = following.get(before, set())
        return next(iter(fitting)) if len(fitting) == 1 else f"{name}_axis{axis}"

    return tuple(
        replace(
            tensor,
            shape=tuple(
                dim(tensor.name, axis, before, now)
                for axis, (before, now) in enumerate(zip(tensor.shape, shape, strict=True))
            ),
        )
        for tensor, shape in zip(outputs, trace.output_shapes, strict=True)
    )


def _has_fixed_time(tensor: TensorSpec) -> bool:
    sequence = len(tensor.shape) == 3 or (len(tensor.shape) == 2 and tensor.below is not None)
    return sequence and isinstance(tensor.shape[1], int)


def _notes_on_fixed_time(sequence: EntryPoint) -> tuple[str, ...]:
    fixed = [t for t in sequence.inputs if _has_fixed_time(t)]
    return tuple(
        f"input '{tensor.name}' takes sequences of exactly {tensor.shape[1]} steps, as the model"
        " was built; export with --time open to take any number, or run with --pad or --window"
        for tensor in fixed
    )


def _notes(model: Any, state: str) -> tuple[str, ...]:
    """What a user must know of the model's states."""
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
    said = (
        f"layer '{layer.name}' is stateful: the sequence entry point starts from zero each time,"
        " and the stream entry point takes and returns the state"
    )
    held = keras.tree.flatten(layer.states) if holds_state(layer) else []
    if any(np.any(np.asarray(state)) for state in held):
        said += "; the state it holds now is left out (--state keep writes it into the file)"
    return said


def with_chunks(plan: ExportPlan, chunked: Support) -> ExportPlan:
    """The plan, its stream entry point saying whether chunks give what the whole gives."""
    if plan.stream is None:
        return plan
    entry = replace(plan.stream.entry, chunked=chunked)
    return replace(plan, stream=replace(plan.stream, entry=entry))


def with_rows(plan: ExportPlan, rows_of: Callable[[EntryPoint], Support]) -> ExportPlan:
    """The plan, each entry point saying whether its rows stand alone."""

    def known(traced: TracedEntry) -> TracedEntry:
        return replace(traced, entry=replace(traced.entry, rows=rows_of(traced.entry)))

    stream = None if plan.stream is None else known(plan.stream)
    return replace(plan, sequence=known(plan.sequence), stream=stream)


def without_unchunked_stream(plan: ExportPlan) -> ExportPlan:
    """The plan, without its stream if single steps do not give what the whole sequence gives."""
    if plan.stream is None or plan.stream.entry.chunked.ok:
        return plan
    note = f"no stream entry point for single steps: {plan.stream.entry.chunked.reason}"
    return replace(plan, stream=None, notes=(*plan.notes, note))
