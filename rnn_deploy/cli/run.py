"""`rnn-deploy run`: inputs through a bundle on a runtime."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.arrays import (
    check_output,
    json_lines,
    read_arrays,
    read_npz,
    write_arrays,
    write_npz,
)
from rnn_deploy.cli.console import data, say
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import Runner, RunOptions
from rnn_deploy.runtimes.feeds import checker, not_finite
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.runtimes.tuned import TUNED
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks


@dataclass(frozen=True)
class RunRequest:
    """What `run` was asked for."""

    bundle: Path
    inputs: Path
    output: Path | None
    runtime: str | None
    threads: int | None
    batch_size: int | None
    option: tuple[str, ...]
    chunk: int | None
    state_in: Path | None
    state_out: Path | None
    force: bool

    @property
    def carries_state(self) -> bool:
        return any(value is not None for value in (self.chunk, self.state_in, self.state_out))


@click.command("run")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    required=True,
    type=click.Path(path_type=Path),
    help="What to feed: .npz, .npy, .csv or .jsonl.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write the outputs, by ending; without it JSON Lines are printed.",
)
@click.option("--runtime", help="The runtime; by default the first that is here.")
@click.option("--threads", type=int, help="Threads within an operator.")
@click.option("--batch-size", type=click.IntRange(1), help="At most so many sequences at a time.")
@click.option(
    "--option",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the execution provider, for instance device_id=1.",
)
@click.option(
    "--chunk", type=click.IntRange(1), help="Stream the sequence, so many steps at a time."
)
@click.option("--state-in", type=click.Path(path_type=Path), help="Initial states, an .npz file.")
@click.option("--state-out", type=click.Path(path_type=Path), help="Where to write final states.")
@click.option("--force", is_flag=True, help="Replace existing output files.")
def command(**options: object) -> None:
    """Run inputs through BUNDLE on a runtime."""
    run(RunRequest(**options))  # type: ignore[arg-type]


def run(request: RunRequest) -> None:
    """Do what `request` asks."""
    if request.batch_size is not None and request.carries_state:
        raise InputError("--batch-size does not go with --chunk, --state-in or --state-out")
    if request.output is not None and request.output == request.state_out:
        raise InputError(f"{request.output}: is both -o and --state-out; give two files")
    bundle = open_bundle(request.bundle)
    for place in (request.output, request.state_out):
        if place is not None:
            refuse_existing(place, force=request.force)
    entry = bundle.manifest.entry(STREAM if request.carries_state else SEQUENCE)
    check_output(request.output, entry)
    feeds = read_arrays(request.inputs, entry)
    if request.state_in is not None:
        state_in = _state(entry, request.state_in)
        twice = sorted(feeds.keys() & state_in)
        if twice:
            raise InputError(f"'{twice[0]}' is in --inputs and in --state-in; leave one out")
        feeds |= state_in
    runner = _load(bundle, request, entry.name)
    results = _results(runner, request, feeds)
    outputs = {tensor.name: results[tensor.name] for tensor in entry.outputs}
    state = {spec.tensor.name: results[spec.next_name] for spec in entry.states}
    _tell_not_finite(feeds)
    _write(request, outputs, state)
    if request.output is None:
        data("\n".join(json_lines(outputs)))


def _write(request: RunRequest, outputs: dict[str, Array], state: dict[str, Array]) -> None:
    """Write outputs and state where asked: both, or neither."""
    with ExitStack() as drafts:
        if request.output is not None:
            draft = drafts.enter_context(writing_file(request.output, force=request.force))
            write_arrays(draft, outputs)
        if request.state_out is not None:
            draft = drafts.enter_context(writing_file(request.state_out, force=request.force))
            write_npz(draft, state)
    for place, arrays in ((request.state_out, state), (request.output, outputs)):
        if place is not None:
            say(f"wrote {place}: {', '.join(f'{n} {v.shape}' for n, v in arrays.items())}")


def _load(bundle: Bundle, request: RunRequest, entry: str) -> Runner:
    runtime = runtime_named(request.runtime) if request.runtime else default_runtime(bundle)
    options = RunOptions(entry, request.threads, _provider_options(request.option))
    if runtime.name == TUNED:
        from rnn_deploy.cli.plans import tell_misfits

        tell_misfits(str(bundle.root), bundle.manifest.plan)
    return runtime.load(bundle, options)


def _results(runner: Runner, request: RunRequest, feeds: dict[str, Array]) -> dict[str, Array]:
    # Imported where they are needed: `run` is started anew for each call.
    if request.batch_size is not None:
        from rnn_deploy.inference.model import in_batches

        return in_batches(runner, feeds, request.batch_size)
    if request.chunk is None:
        return runner.run(feeds)
    from rnn_deploy.inference.stream import run_in_chunks

    checker(runner.entry)(feeds)
    total = chunks.length_of(runner.entry, feeds)
    return run_in_chunks(runner, feeds, chunks.equal_lengths(total, request.chunk))


def _state(entry: EntryPoint, place: Path) -> dict[str, Array]:
    state = read_npz(place)
    wanted = sorted(spec.tensor.name for spec in entry.states)
    if sorted(state) != wanted:
        raise InputError(f"{place}: holds {sorted(state)}, the model's states are {wanted}")
    return state


def _provider_options(pairs: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--option {pair}: expected KEY=VALUE")
    return tuple((key, value) for key, _, value in (pair.partition("=") for pair in pairs))


def _tell_not_finite(feeds: dict[str, Array]) -> None:
    names = not_finite(feeds)
    if names:
        say(f"note: input {', '.join(names)} holds NaN or infinity; the outputs follow from it")
