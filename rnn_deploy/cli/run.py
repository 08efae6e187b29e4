"""`rnn-deploy run`: run inputs through a bundle on a runtime."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.state_files import owner_of, read_states, refuse_other_names, write_states
from rnn_deploy.bundle.store import refuse_existing, with_bundle, writing_files
from rnn_deploy.cli.arrays import (
    check_output,
    json_lines,
    read_arrays,
    write_arrays,
)
from rnn_deploy.cli.console import data, say
from rnn_deploy.cli.options import grouped
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import Runner, RunOptions
from rnn_deploy.runtimes.feeds import checker, not_finite
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.runtimes.tuned import TUNED
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks


@dataclass(frozen=True)
class RunRequest:
    """The parameters of `run`."""

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
    state_any_bundle: bool
    force: bool

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.carries_state:
            raise InputError(
                "E-OPTION-CONFLICT",
                "--batch-size cannot be combined with --chunk, --state-in or --state-out;"
                " remove one of them",
            )
        if self.output is not None and self.output == self.state_out:
            raise InputError(
                "E-OPTION-CONFLICT", f"{self.output}: is both -o and --state-out; give two files"
            )
        if self.state_any_bundle and self.state_in is None:
            raise InputError(
                "E-OPTION-CONFLICT", "--state-any-bundle applies only to --state-in; add a file"
            )

    @property
    def carries_state(self) -> bool:
        """Whether the entry point `stream` is run."""
        return any(value is not None for value in (self.chunk, self.state_in, self.state_out))


@click.command("run")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    required=True,
    type=click.Path(path_type=Path),
    help="File with the inputs: .npz, .npy, .csv or .jsonl.",
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
    with_bundle(request.bundle, partial(_run, request))


def _run(request: RunRequest, bundle: Bundle) -> None:
    for place in (request.output, request.state_out):
        if place is not None:
            refuse_existing(place, force=request.force)
    entry = bundle.manifest.entry(STREAM if request.carries_state else SEQUENCE)
    check_output(request.output, entry)
    feeds = read_arrays(request.inputs, entry)
    if request.state_in is not None:
        feeds |= _state(bundle, entry, request, feeds)
    runner = _load(bundle, request, entry.name)
    results = _results(runner, request, feeds)
    outputs = {tensor.name: results[tensor.name] for tensor in entry.outputs}
    state = {spec.tensor.name: results[spec.next_name] for spec in entry.states}
    _report_not_finite(feeds)
    _write(bundle, request, outputs, state)
    if request.output is None:
        data("\n".join(json_lines(outputs)))


def _write(
    bundle: Bundle, request: RunRequest, outputs: dict[str, Array], state: dict[str, Array]
) -> None:
    """Write outputs and states to the requested files: both, or neither."""
    places = [place for place in (request.output, request.state_out) if place is not None]
    with writing_files(places, force=request.force) as drafts:
        by_place = dict(zip(places, drafts, strict=True))
        if request.output is not None:
            write_arrays(by_place[request.output], outputs)
        if request.state_out is not None:
            write_states(by_place[request.state_out], state, owner_of(bundle, STREAM))
    for place, arrays in ((request.state_out, state), (request.output, outputs)):
        if place is not None:
            say(f"wrote {place}: {', '.join(f'{n} {v.shape}' for n, v in arrays.items())}")


def _load(bundle: Bundle, request: RunRequest, entry: str) -> Runner:
    runtime = runtime_named(request.runtime) if request.runtime else default_runtime(bundle)
    options = RunOptions(entry, request.threads, _provider_options(request.option))
    if runtime.name == TUNED:
        from rnn_deploy.cli.plans import report_misfits

        report_misfits(str(bundle.root), bundle.manifest.plan)
    return runtime.load(bundle, options)


def _results(runner: Runner, request: RunRequest, feeds: dict[str, Array]) -> dict[str, Array]:
    # Imported only when needed, because `run` starts a new process for each call.
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
    bundle: Bundle, entry: EntryPoint, request: RunRequest, feeds: dict[str, Array]
) -> dict[str, Array]:
    assert request.state_in is not None
    owner = owner_of(bundle, entry.name)
    state = read_states(request.state_in, owner, any_bundle=request.state_any_bundle)
    refuse_other_names(state, [spec.tensor.name for spec in entry.states], str(request.state_in))
    twice = sorted(feeds.keys() & state)
    if twice:
        raise InputError(
            "E-INPUT-TWICE",
            f"the state '{twice[0]}' is in --inputs and in --state-in; remove it from one of them",
        )
    return state


def _provider_options(pairs: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError("E-OPTION-PAIR", f"--option {pair}: expected KEY=VALUE")
    return tuple((key, value) for key, _, value in (pair.partition("=") for pair in pairs))


def _report_not_finite(feeds: dict[str, Array]) -> None:
    names = not_finite(feeds)
    if names:
        say(f"note: input {', '.join(names)} contains NaN or infinity, so the outputs may too")
