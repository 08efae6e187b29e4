"""`rnn-deploy verify`: compare runtimes with the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.options import grouped
from rnn_deploy.cli.reference_model import ModelOption, model_options
from rnn_deploy.cli.report_files import ReportFiles, report_options
from rnn_deploy.cli.tolerances import ToleranceOptions, tolerance_options
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.isolation import TIME_LIMIT
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.diagnose.file_verdicts import file_verdicts
from rnn_deploy.verifying.diagnose.finding import merged_lines
from rnn_deploy.verifying.judge.checks import CHECKS, QUICK
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.report import json_from_report, worst_of_each
from rnn_deploy.verifying.report.results import judge_again, read_results
from rnn_deploy.verifying.report.text import environment_line, number, placement_lines, worst_place


@dataclass(frozen=True)
class VerifyOptions:
    """What to run, and how.

    stored: the results to judge again, in which case nothing is run. isolate: None for the default.
    time_limit: seconds for one call of an isolated runtime, None for the default.
    """

    runtime: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    quick: bool = False
    threads: int | None = None
    isolate: bool | None = None
    time_limit: float | None = None
    stored: Path | None = None

    def __post_init__(self) -> None:
        if self.quick and self.check:
            raise InputError(
                "E-OPTION-CONFLICT", "--quick and --check both choose checks; give one of them"
            )
        if self.isolate is False and self.time_limit is not None:
            raise InputError(
                "E-OPTION-CONFLICT",
                "--time-limit applies only to isolated runtimes; remove it or --no-isolate",
            )

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of the checks to run."""
        return QUICK if self.quick else self.check or tuple(CHECKS)

    @property
    def isolation(self) -> float | None:
        """Seconds for one call of an isolated runtime; None if runtimes are not isolated."""
        isolated = self.time_limit is not None or not self.quick
        if self.isolate is not None:
            isolated = self.isolate
        if not isolated:
            return None
        return TIME_LIMIT if self.time_limit is None else self.time_limit

    def check_stored(self, model: ModelOption, files: ReportFiles) -> None:
        """Raise InputError for options that have no effect with --from, which runs nothing."""
        running: Mapping[str, object] = {
            "--runtime": self.runtime, "--check": self.check, "--quick": self.quick,
            "--threads": self.threads, "--time-limit": self.time_limit,
            "--isolate": self.isolate is not None, "--save": files.save,
            "--against": model.against, "--model": model.model,
        }  # fmt: skip
        unused = [name for name, value in running.items() if value]
        if self.stored is not None and unused:
            raise InputError(
                "E-OPTION-CONFLICT",
                f"{unused[0]} has no effect with --from, which runs nothing; give one of them",
            )


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runtime", multiple=True, help="A runtime to verify.  [default: all available]")
@click.option(
    "--check", multiple=True, type=click.Choice(list(CHECKS)), help="A check.  [default: all]"
)
@click.option("--quick", is_flag=True, help=f"Run only the checks {', '.join(QUICK)}.")
@tolerance_options
@model_options
@click.option("--threads", type=int, help="Threads within an operator.")
@click.option(
    "--isolate/--no-isolate",
    default=None,
    help="Run each runtime in a process of its own, so that an abort is a failed check."
    "  [default: isolate, except with --quick]",
)
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    help=f"The limit for one call of an isolated runtime.  [default: {TIME_LIMIT:g}]",
)
@report_options
@click.option(
    "--from",
    "stored",
    type=click.Path(path_type=Path),
    metavar="RESULTS.npz",
    help="Judge the results of --save again; run nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@grouped(VerifyOptions, ToleranceOptions, ModelOption, ReportFiles)
def command(
    options: VerifyOptions,
    tolerances: ToleranceOptions,
    model: ModelOption,
    files: ReportFiles,
    bundle: Path,
    as_json: bool,
) -> None:
    """Compare runtimes with the golden vectors of BUNDLE: outputs and states.

    Exit code 1 if anything is outside its budget, or nothing could be checked.
    """
    tolerance = tolerances.tolerance
    files.check()
    options.check_stored(model, files)
    opened = open_bundle(bundle)
    if not options.runtime and options.stored is None:
        default_runtime(opened)  # raises the error with pip commands if no runtime is installed
    with files.recorder() as recorder, progress() as step:
        if options.stored is not None:
            report = judge_again(read_results(options.stored, opened), tolerance, recorder.record)
        else:
            cases, original = model.open(opened, step)
            report = verify(
                opened,
                runtimes=[runtime_named(name) for name in options.runtime] or None,
                cases=cases,
                original=original,
                checks=options.checks,
                tolerance=tolerance,
                options=RunOptions(threads=options.threads),
                progress=step,
                record=recorder.record,
                time_limit=options.isolation,
            )
        step("writing the report")
        recorder.finish(report)
    if as_json:
        data(json_from_report(report).rstrip())
    else:
        show(report)
    if not report.passed:
        raise VerificationError("E-VERIFY-FAILED", f"{bundle}: verification {report.verdict}")


def show(report: Report) -> None:
    """Print a report: all failures, and the worst case of each runtime and tensor."""
    passed = [c for c in report.comparisons if c.passed]
    failed = worst_of_each(c for c in report.comparisons if not c.passed)
    rows = [_row(c) for c in (*failed, *worst_of_each(passed, by=("runtime", "name")))]
    columns = ("runtime", "worst in", "tensor", "kind", ">error", ">TensorFlow's",
               ">budget", "worst case", "verdict")  # fmt: skip
    if rows:
        table(report.bundle, columns, rows)
    compared = {c.check for c in report.comparisons}
    checks = [check for check in CHECKS if check in compared]
    for line in (
        *map(str, report.failed_checks),
        *("\n  ".join(lines) for lines in merged_lines(report.findings)),
        *map(str, file_verdicts(report.comparisons)),
        *(f"not verified on {skipped.runtime}: {skipped.reason}" for skipped in report.skipped),
        *(f"note: {note}" for note in report.notes),
        *placement_lines(report),
        f"checked: {', '.join(checks) or 'nothing'}",
        f"reference: {report.reference}",
        f"environment: {environment_line(report)}",
    ):
        say(line)
    data(report.verdict)


def _row(c: Comparison) -> tuple[str, ...]:
    own = "unknown" if c.reference_error is None else number(c.reference_error)
    outcome = verdict(c.passed) if c.decisive or not c.passed else "too wide"
    return (c.runtime, c.check, c.name, c.kind, number(c.max_abs), own, number(c.budget),
            worst_place(c), "known" if c.known else outcome)  # fmt: skip
