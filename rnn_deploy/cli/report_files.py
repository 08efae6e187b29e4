"""Where `rnn-deploy verify` writes what it found: JSON, JUnit XML, an HTML page, results.

Outputs --recording--> Recording: `record` while verification runs, `finish` with its report
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.console import say
from rnn_deploy.errors import InputError
from rnn_deploy.optional import require
from rnn_deploy.runtimes.isolation import LIMIT
from rnn_deploy.verifying.report.evidence import Observation
from rnn_deploy.verifying.report.profiles import ErrorProfiles
from rnn_deploy.verifying.report.report import Report, json_from_report
from rnn_deploy.verifying.report.results import ResultsWriter

_OPTIONS = (
    click.option(
        "-o", "--output", type=click.Path(path_type=Path), help="Write the report as JSON."
    ),
    click.option(
        "--junit", type=click.Path(path_type=Path), help="Write it as JUnit XML, for a CI server."
    ),
    click.option(
        "--html",
        type=click.Path(path_type=Path),
        help="Write it as one HTML page with plots (extra 'report').",
    ),
    click.option(
        "--save",
        type=click.Path(path_type=Path),
        metavar="RESULTS.npz",
        help="Store all tensors compared, to be judged again with --from.",
    ),
    click.option(
        "--from",
        "stored",
        type=click.Path(path_type=Path),
        metavar="RESULTS.npz",
        help="Judge what --save stored; nothing is run.",
    ),
    click.option(
        "--isolate/--no-isolate",
        default=None,
        help="Each runtime in a process of its own, so that one that aborts is a failed check."
        "  [default: isolate, but for --quick]",
    ),
    click.option(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help=f"For one call of an isolated runtime.  [default: {LIMIT:g}]",
    ),
)


def evidence_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of what is written and how runtimes are kept apart."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def limit_of(isolate: bool | None, time_limit: float | None, *, quick: bool) -> float | None:
    """Seconds for a call of an isolated runtime; None where runtimes are not isolated."""
    if isolate is False and time_limit is not None:
        raise InputError("--time-limit is of isolated runtimes; leave it or --no-isolate out")
    apart = isolate if isolate is not None else time_limit is not None or not quick
    return (LIMIT if time_limit is None else time_limit) if apart else None


@dataclass(frozen=True)
class ReportFiles:
    """The files asked for."""

    json: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    results: Path | None = None
    force: bool = False

    def refuse(self) -> None:
        """Raise what would stop a file from being written, before anything is run."""
        places = [p for p in (self.json, self.junit, self.html, self.results) if p is not None]
        twice = next((p for p in places if places.count(p) > 1), None)
        if twice is not None:
            raise InputError(f"{twice}: is asked for twice; give each output a file of its own")
        for place in places:
            refuse_existing(place, force=self.force)
        if self.html is not None:
            require("matplotlib")

    @contextmanager
    def recording(self) -> Iterator["VerificationRecorder"]:
        """What records a verification; its files appear when `finish` was called."""
        with ExitStack() as stack:
            writer = None
            if self.results is not None:
                draft = stack.enter_context(writing_file(self.results, force=self.force))
                writer = ResultsWriter(draft)
                stack.callback(writer.close)
            yield VerificationRecorder(self, None if self.html is None else ErrorProfiles(), writer)
        if self.results is not None:
            say(f"wrote {self.results}")


@dataclass(frozen=True)
class VerificationRecorder:
    """Keeps of a verification what its outputs need."""

    outputs: ReportFiles
    profiles: ErrorProfiles | None
    writer: ResultsWriter | None

    def record(self, observation: Observation) -> None:
        """Take in one comparison with its tensors."""
        for keeper in (self.profiles, self.writer):
            if keeper is not None:
                keeper.record(observation)

    def finish(self, report: Report) -> None:
        """Write everything asked for."""
        from rnn_deploy.verifying.report.junit import junit_from_report

        if self.writer is not None:
            self.writer.finish(report)
        self._write(self.outputs.json, json_from_report, report)
        self._write(self.outputs.junit, junit_from_report, report)
        if self.profiles is not None:
            from rnn_deploy.verifying.report.html import html_from_report

            self._write(self.outputs.html, html_from_report, report, self.profiles)

    def _write(self, place: Path | None, text_of: Callable[..., str], *given: Any) -> None:
        if place is not None:
            with writing_file(place, force=self.outputs.force) as draft:
                draft.write_text(text_of(*given), encoding="utf-8")
            say(f"wrote {place}")
