"""The files that `rnn-deploy verify` writes: JSON, JUnit XML, an HTML page, results.

ReportFiles --recorder--> VerificationRecorder: `record` while it runs, `finish` with its report
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from rnn_deploy.bundle.store import refuse_existing, writing_files
from rnn_deploy.cli.console import say
from rnn_deploy.errors import InputError
from rnn_deploy.optional import require
from rnn_deploy.verifying.report.as_json import json_from_report
from rnn_deploy.verifying.report.error_profiles import ErrorProfiles
from rnn_deploy.verifying.report.observation import Observation
from rnn_deploy.verifying.report.report import Report
from rnn_deploy.verifying.report.results import ResultsWriter


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of ReportFiles to a command."""
    place = click.Path(path_type=Path)
    options = (
        click.option("-o", "--output", type=place, help="Write the report as JSON."),
        click.option("--junit", type=place, help="Write the report as JUnit XML for a CI server."),
        click.option(
            "--html",
            type=place,
            help="Write the report as one HTML page with plots (extra 'report').",
        ),
        click.option(
            "--save",
            type=place,
            metavar="RESULTS.npz",
            help="Save every compared tensor, to judge it again with --from.",
        ),
        click.option(
            "--force",
            is_flag=True,
            help="Replace existing files. Reports of earlier runs are replaced without it, too.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class ReportFiles:
    """The files to write; see `report_options`."""

    output: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    save: Path | None = None
    force: bool = False

    def check(self) -> None:
        """Raise the errors that would stop a file from being written, before anything runs."""
        places = [place for place in self._places.values() if place is not None]
        twice = next((p for p in places if places.count(p) > 1), None)
        if twice is not None:
            raise InputError(
                "E-OPTION-SAME-FILE",
                f"{twice} is the destination of two options; give each option its own file",
            )
        for place in places:
            refuse_existing(place, force=self.force or place in self._earlier_reports)
        if self.html is not None:
            require("matplotlib")
            require("jinja2")

    @contextmanager
    def recorder(self) -> Iterator["VerificationRecorder"]:
        """Yield a recorder of a verification; after `finish`, the files take their places."""
        places = {option: place for option, place in self._places.items() if place is not None}
        with ExitStack() as stack:
            earlier = self._earlier_reports
            drafts = stack.enter_context(
                writing_files(list(places.values()), force=self.force, replaced=earlier)
            )
            by_option = dict(zip(places, drafts, strict=True))
            writer = None
            if self.save is not None:
                writer = ResultsWriter(by_option["save"])
                stack.callback(writer.close)
            profiles = None if self.html is None else ErrorProfiles()
            yield VerificationRecorder(by_option, profiles, writer)
        for place in places.values():
            say(f"wrote {place}")

    def write_refusal(self, report: Report) -> None:
        """Write the report of a bundle that was refused; there are no results to save."""
        with replace(self, save=None).recorder() as recorder:
            recorder.finish(report)

    @property
    def _earlier_reports(self) -> list[Path]:
        """The files that are reports of an earlier run, which are replaced without --force."""
        starts = {"output": b"{\n ", "junit": b"<?xml", "html": b"<!doctype html>"}
        marks = {"output": b'"verdict": ', "junit": b"<testsuites ", "html": b"Verification of "}
        places = {o: p for o, p in self._places.items() if o in starts and p is not None}
        found = []
        for option, place in places.items():
            content = place.read_bytes() if place.is_file() else None
            if content is not None and (
                not content or (content.startswith(starts[option]) and marks[option] in content)
            ):
                found.append(place)
        return found

    @property
    def _places(self) -> dict[str, Path | None]:
        return {"output": self.output, "junit": self.junit, "html": self.html, "save": self.save}


@dataclass(frozen=True)
class VerificationRecorder:
    """Keeps what the files of a verification need. drafts: where to write them, by option."""

    drafts: Mapping[str, Path]
    profiles: ErrorProfiles | None
    writer: ResultsWriter | None

    def record(self, observation: Observation) -> None:
        """Add one comparison with its tensors."""
        for keeper in (self.profiles, self.writer):
            if keeper is not None:
                keeper.record(observation)

    def finish(self, report: Report) -> None:
        """Write the files."""
        from rnn_deploy.verifying.report.junit import junit_from_report

        if self.writer is not None:
            self.writer.finish(report)
        self._write("output", json_from_report, report)
        self._write("junit", junit_from_report, report)
        if self.profiles is not None:
            from rnn_deploy.verifying.report.html import html_from_report

            self._write("html", html_from_report, report, self.profiles)

    def _write(self, option: str, text_from: Callable[..., str], *values: Any) -> None:
        if option in self.drafts:
            self.drafts[option].write_text(text_from(*values), encoding="utf-8")
