"""`rnn-deploy stream`: one step per line from standard input, one line per step as output.

Whether the input ends, a signal arrives, a pipe closes or a line is malformed: the saved state is
the one after the last line that was written whole.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.bundle.state_files import owner_of, write_states
from rnn_deploy.bundle.store import refuse_existing, with_bundle, writing_files
from rnn_deploy.cli.console import refuse_closed_output, say
from rnn_deploy.cli.ending import signals_wait
from rnn_deploy.cli.line_writer import LineWriter
from rnn_deploy.cli.loading import load_runner
from rnn_deploy.cli.options import grouped
from rnn_deploy.cli.results import TOP, top_of
from rnn_deploy.cli.step_lines import StepLines, lines_in, naming_line
from rnn_deploy.errors import InputError
from rnn_deploy.inference.stream import Stream
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.feeds import not_finite
from rnn_deploy.spec import STREAM, Array, EntryPoint


@dataclass(frozen=True)
class StreamRequest:
    """The parameters of `stream`."""

    bundle: Path
    resume: Path | None
    save: Path | None
    state_any_bundle: bool
    force: bool
    runtime: str | None
    threads: int | None
    top: int | None

    def __post_init__(self) -> None:
        if self.state_any_bundle and self.resume is None:
            raise InputError(
                "E-OPTION-NEEDS", "--state-any-bundle applies only to --resume; add --resume STATE"
            )

    @property
    def replaced(self) -> list[Path]:
        """Return the file that --save may replace: the one that --resume reads."""
        return [self.save] if self.save is not None and self.save == self.resume else []


@dataclass
class StreamProgress:
    """The number of steps whose lines were written whole, and the state after them."""

    state: Mapping[str, Array]
    steps: int = 0

    def advance(self, state: Mapping[str, Array]) -> None:
        """Count one more step."""
        self.state, self.steps = state, self.steps + 1


@click.command("stream")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="STATE",
    help="Start from this state file instead of zero. --save, run --state-out and Stream.save write"
    " state files.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="STATE",
    help="Write the state to this file (.npz) at the end, also after Ctrl-C or a closed pipe.",
)
@click.option(
    "--state-any-bundle",
    is_flag=True,
    help="Accept a --resume file of another model, or with plain arrays.",
)
@click.option("--runtime", help="Runtime to use.  [default: the first available]")
@click.option("--threads", type=int, help="Number of threads within an operator.")
@click.option(
    "--top",
    type=click.IntRange(0),
    metavar="K",
    help=f"Print the K most likely labels of a bundle with labels, 0 for none.  [default: {TOP}]",
)
@click.option("--force", is_flag=True, help="Replace an existing --save file.")
@grouped(StreamRequest)
def command(request: StreamRequest) -> None:
    """Run BUNDLE step by step: JSON Lines from standard input, one line of JSON per step."""
    refuse_closed_output()
    if sys.stdin is None:
        raise InputError(
            "E-OPTION-NO-INPUT", "standard input is closed; connect it to the lines of the steps"
        )
    if request.save is not None:
        refuse_existing(request.save, force=request.force or bool(request.replaced))
    with_bundle(request.bundle, partial(_run, request))


def _run(request: StreamRequest, bundle: Bundle) -> None:
    entry = bundle.manifest.entry(STREAM)
    _refuse_fixed_batch(entry)
    attached = attachments_of(bundle)
    lines = StepLines(entry, attached, top_of(request.top, attached))
    options = RunOptions(STREAM, request.threads)
    stream = Stream(load_runner(bundle, request.runtime, options), 1, owner_of(bundle, STREAM))
    if request.resume is not None:
        stream.restore(request.resume, any_bundle=request.state_any_bundle)
    with _saving(request, bundle, StreamProgress(stream.state)) as progress:
        _advance(stream, lines, progress, sys.stdin.buffer)


def _advance(stream: Stream, lines: StepLines, progress: StreamProgress, source: BinaryIO) -> None:
    """Run every line of the source."""
    writer = LineWriter(sys.stdout)
    noted = False
    for number, line in lines_in(source):
        feeds = lines.feeds(number, line)
        if not noted and not_finite(feeds):
            say(f"note: line {number} contains NaN or infinity, so all outputs after it may too")
            noted = True
        with naming_line(number):
            outputs = stream.advance(feeds)
        writer.write(lines.line(outputs), partial(progress.advance, stream.state))


@contextmanager
def _saving(
    request: StreamRequest, bundle: Bundle, progress: StreamProgress
) -> Iterator[StreamProgress]:
    """Write the state file when the block ends, also after an error."""
    try:
        yield progress
    finally:
        if request.save is not None:
            with (
                signals_wait(),
                writing_files([request.save], force=request.force, replaced=request.replaced) as (
                    draft,
                ),
            ):
                write_states(draft, progress.state, owner_of(bundle, STREAM))
            steps = f"{progress.steps} step{'' if progress.steps == 1 else 's'}"
            say(f"wrote {request.save}: the state after {steps}")


def _refuse_fixed_batch(entry: EntryPoint) -> None:
    tensor = entry.inputs[0]
    if isinstance(tensor.shape[0], int) and tensor.shape[0] != 1:
        raise InputError(
            "E-INPUT-BATCH",
            f"stream runs one sequence, and input '{tensor.name}' has a fixed batch of"
            f" {tensor.shape[0]}; export the model with --batch open",
        )
