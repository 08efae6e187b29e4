"""The entry points `encode` and `decode` of an encoder-decoder model.

    sequence entry point --split_plan--> encode and decode, traced   (or notes with the reason)
    references --proven_halves--> golden cases, and whether encode and decode compute the same as
                                  the whole model

The initial states of the decoder are outputs of `encode` and inputs of `decode` under one name; the
memory is too. `decode` returns the next states as a stream does.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting.open_time import has_fixed_time
from rnn_deploy.formats.read_model import ExportPlan, SplitPlan, TracedEntry
from rnn_deploy.keras.halves import Decoder, Encoder, Half, WholeModel
from rnn_deploy.keras.intercept import unused
from rnn_deploy.keras.part import ModelPart
from rnn_deploy.keras.probing import output_specs
from rnn_deploy.keras.signature import TIME, Signature, taking_any_length
from rnn_deploy.keras.splitting import Split, find_split
from rnn_deploy.keras.traced_calls import WhyWhole
from rnn_deploy.keras.tracing import trace_markers
from rnn_deploy.references.golden import chunks_match, random_lengths, sizes_of
from rnn_deploy.references.reference import Reference, states_of
from rnn_deploy.references.rows import ROUNDED, SAME
from rnn_deploy.references.samples import is_drawable, ragged, unmasked
from rnn_deploy.spec import DECODE, ENCODE, Array, EntryPoint, TensorSpec

CHECK = "encode-decode"
SHAPES = ((1, 3), (3, 5), (2, 8))  # batch, steps of the source


def split_plan(model: Any, sequence: TracedEntry) -> tuple[SplitPlan | None, tuple[str, ...]]:
    """Return the entry points of a split model, or notes with the reason if it has none."""
    layers = [x for x in sequence.trace.layers if x.initial_state and not x.within_step]
    if not layers:
        return None, ()
    signature = sequence.trace.signature
    split = find_split(model, signature)
    if isinstance(split, WhyWhole):
        return None, (_note(split.reason),) if split.reason else ()
    try:
        return _traced(model, split, sequence.entry), ()
    except UnsupportedModelError as error:
        return None, (_note(error.message),)


def parts_of(model: Any, sequence: EntryPoint) -> dict[str, ModelPart]:
    """Return the parts of a model behind encode and decode, by entry point; empty if it has none.

    sequence: the entry point of the whole model.
    """
    split = find_split(model, Signature(sequence.inputs, tuple(t.name for t in sequence.outputs)))
    if isinstance(split, WhyWhole):
        return {}
    halves = {ENCODE: Encoder, DECODE: Decoder}
    return {name: half(model, split, sequence.inputs) for name, half in halves.items()}


def _note(reason: str) -> str:
    return f"no entry points encode and decode: {reason}"


def _traced(model: Any, split: Split, sequence: EntryPoint) -> SplitPlan:
    by_name = {tensor.name: tensor for tensor in sequence.inputs}
    used = {*by_name, *(tensor.name for tensor in sequence.outputs)}
    made = [part.name for part in split.memory if part.places]
    used |= set(made)
    keys = [key for states in split.initial.values() for key in states]
    enters = []
    for layer, role in keys:
        enters.append(unused(f"{layer}_{role}_in", used))
        used.add(enters[-1])
    others = [sequence.outputs[i].name for i in split.encoder_outputs]
    encoder = Encoder(model, split, sequence.inputs)
    sources = tuple(by_name[name] for name in split.sources)
    trace = trace_markers(encoder, Signature(sources, (*made, *enters, *others)))
    outputs, _ = output_specs(encoder, trace)
    encode = EntryPoint(ENCODE, sources, outputs)
    made_by = {tensor.name: tensor for tensor in outputs} | by_name
    memory = tuple(made_by[part.name] for part in split.memory)
    targets = tuple(by_name[name] for name in split.targets)
    names = tuple(sequence.outputs[i].name for i in split.decoder_outputs)
    decoder = Decoder(model, split, sequence.inputs)
    decode = _decode(decoder, targets, memory, names, dict(zip(keys, enters, strict=True)))
    return SplitPlan(split, TracedEntry(trace, encode, part=encoder), decode)


def _decode(
    decoder: Decoder,
    targets: Sequence[TensorSpec],
    memory: Sequence[TensorSpec],
    outputs: tuple[str, ...],
    enters: Mapping[tuple[str, str], str],
) -> TracedEntry:
    """Trace the decoder; its number of steps is open if the model runs with any target length."""
    opened = tuple(
        replace(t, shape=(t.shape[0], f"{targets[0].name}_{TIME}", *t.shape[2:]))
        if has_fixed_time(t)
        else t
        for t in targets
    )
    fixed = opened != tuple(targets)
    with taking_any_length(decoder.model) if fixed else nullcontext():
        trace = trace_markers(decoder, Signature((*opened, *memory), outputs))
        specs, _ = output_specs(decoder, trace)
    inputs = trace.signature.inputs
    taken = [tensor.name for tensor in (*inputs, *specs)]
    states = []
    for state in states_of(trace.layers, inputs[0].shape[0], taken):
        name = enters.get(state.key, state.tensor.name)
        states.append(replace(state, tensor=replace(state.tensor, name=name)))
    entry = EntryPoint(DECODE, inputs, specs, tuple(states))
    return TracedEntry(trace, entry, undeclared=fixed, part=decoder)


def with_proven_halves(
    plan: ExportPlan, samples: Mapping[str, Array] | None, seed: int, *, oracle: bool
) -> tuple[ExportPlan, list[GoldenCase]]:
    """Return the plan and golden cases for encode and decode.

    They are left out, with a note, if they do not compute the same as the whole model. oracle:
    whether TensorFlow can compute the model in float64.
    """
    if plan.halves is None:
        return plan, []
    halves = plan.halves
    dtypes = ("float32", "float64") if oracle else ("float32",)
    whole = [_whole(plan, halves, dtype) for dtype in dtypes]
    try:
        feeds = list(_feeds(plan.sequence.entry, halves, samples, seed))
        truths = [[runs.run(each) for runs in whole] for each in feeds]
        support, wide = _proof(halves, feeds, [truth[-1] for truth in truths], dtypes[-1], seed)
    except (InputError, UnsupportedModelError) as error:
        return _without(plan, error.message), []
    if not support.ok:
        return _without(plan, support.reason), []
    rows = plan.sequence.entry.rows
    decode = replace(halves.decode, entry=replace(halves.decode.entry, chunked=support, rows=rows))
    encode = replace(halves.encode, entry=replace(halves.encode.entry, rows=rows))
    cases = [
        GoldenCase(
            f"encode-decode-{index}",
            (ENCODE, DECODE),
            case.chunks,
            _narrow(case.feeds, plan.halves),
            truth[0],
            truth[1] if oracle else {},
            check=CHECK,
        )
        for index, (case, truth) in enumerate(zip(wide, truths, strict=True))
    ]
    return replace(plan, halves=replace(halves, encode=encode, decode=decode)), cases


def _without(plan: ExportPlan, reason: str) -> ExportPlan:
    return replace(plan, halves=None, notes=(*plan.notes, _note(reason)))


def _whole(plan: ExportPlan, halves: SplitPlan, dtype: str) -> Reference:
    """Return the whole model as a reference, with the memory and the decoder's final states.

    Keras computes these states from its own initial ones, independently of the split.
    """
    sequence = plan.sequence.entry
    part = WholeModel(plan.model, halves.split, sequence.inputs)
    count = len(halves.split.encoder_outputs)
    made = halves.encode.entry.outputs
    entry = replace(
        sequence,
        outputs=(*sequence.outputs, *made[: len(made) - count]),
        states=halves.decode.entry.states,
    )
    return Reference(part, entry, dtype)


def _feeds(
    sequence: EntryPoint, halves: SplitPlan, samples: Mapping[str, Array] | None, seed: int
) -> Iterator[dict[str, Array]]:
    """Yield inputs of the whole model. The first step of a target is never masked."""
    if samples is not None:
        yield dict(samples)
    if not all(map(is_drawable, sequence.inputs)):
        return
    rng = np.random.default_rng(seed)
    for batch, time in SHAPES:
        plain = unmasked(sequence.inputs, sizes_of(sequence, batch, time), rng)
        masked = ragged(sequence.inputs, plain)
        for name in halves.split.targets:
            if masked[name].ndim > 1:
                masked[name][:, 0] = plain[name][:, 0]
        yield masked


def _proof(
    halves: SplitPlan,
    feeds: Sequence[Mapping[str, Array]],
    truths: Sequence[Mapping[str, Array]],
    dtype: str,
    seed: int,
) -> tuple[Any, list[GoldenCase]]:
    """Return whether decode in chunks computes the same as the whole model, and its cases."""
    decode = halves.decode.entry
    wide = replace(
        decode,
        inputs=tuple(
            replace(t, dtype=dtype) if t.dtype == "float32" and t.name in truths[0] else t
            for t in decode.inputs
        ),
    )
    rng = np.random.default_rng(seed)
    cases = []
    for each, truth in zip(feeds, truths, strict=True):
        carried = {t.name: truth[t.name] for t in decode.all_inputs if t.name in truth}
        steps = each[halves.split.targets[0]].shape[1]
        cases.append(
            GoldenCase("", (DECODE,), random_lengths(steps, rng), {**each, **carried}, truth, {})
        )
    part = halves.decode.part
    assert isinstance(part, Half)
    with taking_any_length(part.model) if halves.decode.undeclared else nullcontext():
        oracle = Reference(part, wide, dtype)
        near = SAME if dtype == "float64" else ROUNDED
        return chunks_match(oracle, wide, cases, near), cases


def _narrow(feeds: Mapping[str, Array], halves: SplitPlan) -> dict[str, Array]:
    """Return feeds in the dtypes of the entry points."""
    tensors = (*halves.encode.entry.inputs, *halves.decode.entry.all_inputs)
    return {tensor.name: feeds[tensor.name].astype(tensor.dtype) for tensor in tensors
            if tensor.name in feeds}  # fmt: skip
