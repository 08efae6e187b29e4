"""`rnn-deploy run`: run inputs through a bundle on a runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.bundle.state_files import (
    owner_of,
    read_keyed_states,
    refuse_other_names,
    write_states,
)
from rnn_deploy.bundle.store import refuse_existing, with_bundle, writing_files
from rnn_deploy.cli.arrays import (
    check_output,
    read_inputs,
)
from rnn_deploy.cli.console import data, refuse_closed_output, say
from rnn_deploy.cli.loading import load_runner
from rnn_deploy.cli.options import grouped
from rnn_deploy.cli.results import TOP, RunResult, lines_of, top_of, write_result
from rnn_deploy.cli.run_request import RunRequest
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted, fitted
from rnn_deploy.inference.keyed_states import KeyedStates, choose
from rnn_deploy.inference.lengths import SIDES, Windows, padded
from rnn_deploy.inference.lengths import windows as windows_of
from rnn_deploy.inference.preprocessing import Preprocessing, raw_spec
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.runtimes.base import Runner, RunOptions
from rnn_deploy.runtimes.feeds import checker, not_finite
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks


@click.command("run")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    required=True,
    type=click.Path(path_type=Path),
    help="File with the inputs: .npz, .npy, .csv or .jsonl, or .txt for texts.",
)
@click.option("--id", metavar="COLUMN", help="Column of a .csv file with the key of the sequence.")
@click.option("--time", metavar="COLUMN", help="Column of a .csv file that orders the steps.")
@click.option(
    "--features",
    metavar="A,B,...",
    help="Columns of a .csv file with the features, in the model's order.  [default: the model's"
    " feature names, else all other columns]",
)
@click.option(
    "--pad",
    type=click.Choice(SIDES),
    help="Pad short sequences to the model's fixed number of steps, before or after them.",
)
@click.option(
    "--window", type=click.IntRange(1), metavar="N", help="Cut sequences into windows of N steps."
)
@click.option(
    "--step",
    type=click.IntRange(1),
    metavar="K",
    help="Start a window every K steps.  [default: N]",
)
@click.option(
    "--top",
    type=click.IntRange(0),
    metavar="K",
    help=f"Print the K most likely labels of a bundle with labels, 0 for none.  [default: {TOP}]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File for the outputs, in the format of its ending.  [default: print JSON Lines]",
)
@click.option("--runtime", help="Runtime to use.  [default: the first available]")
@click.option("--threads", type=int, help="Number of threads within an operator.")
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N", help="Run in batches of N sequences."
)
@click.option(
    "--option",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of ONNX Runtime's execution provider, for instance device_id=1.",
)
@click.option(
    "--chunk", type=click.IntRange(1), metavar="N", help="Stream the sequence N steps at a time."
)
@click.option(
    "--state-in",
    type=click.Path(path_type=Path),
    help="File with the initial states, which --state-out or Stream.save wrote.",
)
@click.option(
    "--state-out", type=click.Path(path_type=Path), help="File for the final states (.npz)."
)
@click.option(
    "--state-any-bundle",
    is_flag=True,
    help="Accept a --state-in file of another model, or with plain arrays.",
)
@click.option("--force", is_flag=True, help="Replace existing output files.")
@grouped(RunRequest)
def command(request: RunRequest) -> None:
    """Run inputs through BUNDLE on a runtime."""
    if request.output is None:
        refuse_closed_output()
    with_bundle(request.bundle, partial(_run, request))


def _refuse_unchunked(request: RunRequest, entry: EntryPoint) -> None:
    """Raise InputError if a later call cannot continue from a state of this model."""
    given = (("--state-in", request.state_in), ("--state-out", request.state_out))
    for option, place in given:
        if place is not None and not entry.chunked.ok:
            raise InputError(
                "E-STATE-NOT-CHUNKED",
                f"{option}: a second call cannot continue the first, because"
                f" {entry.chunked.reason}; run whole sequences, and remove {option}",
            )


def _run(request: RunRequest, bundle: Bundle) -> None:
    for place in (request.output, request.state_out):
        if place is not None:
            _refuse_existing(place, request)
    entry = bundle.manifest.entry(STREAM if request.carries_state else SEQUENCE)
    _refuse_unchunked(request, entry)
    check_output(request.output, entry)
    attached = attachments_of(bundle)
    preprocessing = Preprocessing(attached.steps)
    raw = replace(entry, inputs=tuple(raw_spec(t, preprocessing) for t in entry.inputs))
    known = attached.features.get(entry.inputs[0].name, ())
    read = read_inputs(request.inputs, raw, request.rules, known)
    if read.summary_line:
        say(read.summary_line)
    apply = preprocessing.apply_to_chunk if request.carries_state else preprocessing.apply
    feeds, windows = _shaped(entry, request, fitted(entry, apply(read.feeds)))
    keys = read.table.keys if read.table is not None else None
    kept = KeyedStates.empty()
    if request.state_in is not None:
        states, kept = _state(bundle, entry, request, feeds, keys)
        feeds = {**feeds, **states}
    options = RunOptions(entry.name, request.threads, _provider_options(request.option))
    runner = load_runner(bundle, request.runtime, options)
    results = run_rows(entry, feeds, lambda part: _results(runner, request, part))
    outputs = {tensor.name: results[tensor.name] for tensor in entry.outputs}
    state = {spec.tensor.name: results[spec.next_name] for spec in entry.states}
    _report_not_finite(feeds)
    table = read.table
    if table is not None and request.pad is not None:
        table = replace(table, times=None)  # padding moves the steps
    result = RunResult(outputs, table, windows, attached.labels, top_of(request.top, attached))
    _write(bundle, request, result, kept.joined(state, keys))
    if request.output is None:
        data("\n".join(lines_of(result)))


def _shaped(
    entry: EntryPoint, request: RunRequest, feeds: dict[str, Fitted]
) -> tuple[dict[str, Fitted], Windows | None]:
    """Return the inputs padded, or cut into windows, as requested."""
    if request.pad is not None:
        feeds, notes = padded(entry, feeds, request.pad)
        for note in notes:
            say(f"note: {note}")
    if request.window is None:
        return feeds, None
    cut = windows_of(entry, feeds, request.window, request.step or request.window)
    say(f"cut {len(cut.origins)} windows of {request.window} steps")
    if cut.uncovered:
        say(f"note: {cut.uncovered} steps at the ends of sequences are in no window")
    return cut.feeds, cut


def _refuse_existing(place: Path, request: RunRequest) -> None:
    """Refuse to replace a file; a state file may be read and then replaced by its successor."""
    same = place == request.state_out and place == request.state_in
    refuse_existing(place, force=request.force or same)


def _write(bundle: Bundle, request: RunRequest, result: RunResult, state: KeyedStates) -> None:
    """Write outputs and states to the requested files: both, or neither."""
    again = [place for place in [request.state_out] if place == request.state_in and place]
    places = [place for place in (request.output, request.state_out) if place is not None]
    with writing_files(places, force=request.force, replaced=again) as drafts:
        by_place = dict(zip(places, drafts, strict=True))
        if request.output is not None:
            write_result(by_place[request.output], result)
        if request.state_out is not None:
            owner = owner_of(bundle, STREAM)
            write_states(by_place[request.state_out], state.states, owner, state.keys)
    for place, arrays in ((request.state_out, state.states), (request.output, result.outputs)):
        if place is not None:
            say(f"wrote {place}: {', '.join(f'{n} {_shape(v)}' for n, v in arrays.items())}")


def _shape(value: Fitted) -> str:
    return str(value.shape) if not isinstance(value, list) else f"{len(value)} sequences"


def _results(runner: Runner, request: RunRequest, feeds: Mapping[str, Array]) -> dict[str, Array]:
    # A late import, because `run` starts a new process for each call.
    if request.batch_size is not None:
        from rnn_deploy.inference.model import in_batches

        return in_batches(runner, feeds, request.batch_size)
    if request.chunk is None:
        return runner.run(feeds)
    from rnn_deploy.inference.stream import run_in_chunks

    checker(runner.entry)(feeds)
    total = chunks.length_of(runner.entry, feeds)
    return run_in_chunks(runner, feeds, chunks.equal_lengths(total, request.chunk))


def _state(
    bundle: Bundle,
    entry: EntryPoint,
    request: RunRequest,
    feeds: Mapping[str, Fitted],
    keys: Sequence[str] | None,
) -> tuple[dict[str, Array], KeyedStates]:
    """Return the initial states of each sequence, and the states of keys that are not run."""
    assert request.state_in is not None
    found = read_keyed_states(
        request.state_in, owner_of(bundle, entry.name), any_bundle=request.state_any_bundle
    )
    states = found[0]
    refuse_other_names(states, [spec.tensor.name for spec in entry.states], str(request.state_in))
    twice = sorted(feeds.keys() & states)
    if twice:
        raise InputError(
            "E-INPUT-TWICE",
            f"the state '{twice[0]}' is in --inputs and in --state-in; remove it from one of them",
        )
    chosen = choose(KeyedStates(*found), keys, entry, str(request.state_in))
    if chosen.new:
        shown = ", ".join(chosen.new[:5]) + (", ..." if len(chosen.new) > 5 else "")
        say(f"note: {request.state_in} has no state of {shown}; they start from zero")
    return chosen.states, chosen.rest


def _provider_options(pairs: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError("E-OPTION-PAIR", f"--option {pair}: expected KEY=VALUE")
    return tuple((key, value) for key, _, value in (pair.partition("=") for pair in pairs))


def _report_not_finite(feeds: Mapping[str, Fitted]) -> None:
    parts = [(n, part) for n, v in feeds.items() for part in (v if isinstance(v, list) else [v])]
    names = dict.fromkeys(name for name, part in parts if not_finite({name: part}))
    if names:
        say(f"note: input {', '.join(names)} contains NaN or infinity, so the outputs may too")
