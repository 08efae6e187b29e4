"""`rnn-deploy verify`: compare runtimes with the reference."""

from contextlib import ExitStack
from pathlib import Path

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.options import grouped
from rnn_deploy.cli.reference_model import ModelOption, model_options
from rnn_deploy.cli.report_files import ReportFiles, report_options
from rnn_deploy.cli.tolerances import ToleranceOptions, tolerance_options
from rnn_deploy.cli.verify_options import VerifyOptions, verify_options
from rnn_deploy.errors import BundleError, RuntimeUnavailableError, VerificationError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.isolation import TIME_LIMIT
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.diagnose.file_verdicts import file_verdicts
from rnn_deploy.verifying.diagnose.finding import merged_lines
from rnn_deploy.verifying.judge.checks import EVERY_CHECK
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from rnn_deploy.verifying.report.as_json import json_from_report
from rnn_deploy.verifying.report.baseline import baseline_in
from rnn_deploy.verifying.report.cause import cause_of
from rnn_deploy.verifying.report.observation import Observation
from rnn_deploy.verifying.report.report import refused_report, worst_of_each
from rnn_deploy.verifying.report.results import judge_again, read_results
from rnn_deploy.verifying.report.text import environment_line, number, placement_lines, worst_place


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@verify_options
@tolerance_options
@model_options
@click.option("--threads", type=int, help="Threads within an operator.")
@click.option(
    "--isolate/--no-isolate",
    default=None,
    help="Run each runtime in its own process, so that a crash is a failed check."
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
    options.required  # noqa: B018, raises for an unknown runtime before anything runs
    try:
        report = _verified(options, tolerance, model, files, bundle)
    except (BundleError, RuntimeUnavailableError) as error:
        files.write_refusal(refused_report(str(bundle), error))
        raise
    if as_json:
        data(json_from_report(report).rstrip())
    else:
        show(report)
    if not report.passed:
        raise VerificationError("E-VERIFY-FAILED", f"{bundle}: verification {report.verdict}")


def _verified(
    options: VerifyOptions,
    tolerance: UserTolerance,
    model: ModelOption,
    files: ReportFiles,
    bundle: Path,
) -> Report:
    """Verify, or judge again, and write the files."""
    opened = open_bundle(bundle)
    if not options.runtime and options.stored is None:
        default_runtime(opened)  # raises the error with pip commands if no runtime is installed
    with ExitStack() as stack:
        baseline = None
        if options.baseline is not None:
            earlier = read_results(options.baseline, opened)
            baseline = stack.enter_context(baseline_in(earlier))
        recorder = stack.enter_context(files.recorder())
        step = stack.enter_context(progress())

        def record(observation: Observation) -> None:
            recorder.record(observation)
            if baseline is not None:
                baseline.record(observation)

        if options.stored is not None:
            report = judge_again(read_results(options.stored, opened), tolerance, record)
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
                record=record,
                time_limit=options.isolation,
                given=options.given(opened),
                required=options.required,
            )
        if baseline is not None:
            report = baseline.finish(report, fail_on_change=options.fail_on_change)
        step("writing the report")
        recorder.finish(report)
    return report


def show(report: Report) -> None:
    """Print a report: all failures, and the worst case of each runtime and tensor."""
    cause = cause_of(report)
    if cause:
        data(f"cause: {cause}")
    if report.not_streamed:
        data(report.not_streamed)
    passed = [c for c in report.comparisons if c.passed]
    failed = worst_of_each(c for c in report.comparisons if not c.passed)
    rows = [_row(c) for c in (*failed, *worst_of_each(passed, by=("runtime", "name")))]
    columns = ("runtime", "worst in", "tensor", "kind", ">error", ">reference's error",
               ">budget", "worst case", "verdict")  # fmt: skip
    if rows:
        table(report.bundle, columns, rows)
    compared = {c.check for c in report.comparisons}
    checks = [check for check in EVERY_CHECK if check in compared]
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
    for line in (
        *(() if report.baseline is None else report.baseline.lines),
        *filter(None, (report.tested, report.not_tested)),
        report.verdict,
    ):
        data(line)


def _row(c: Comparison) -> tuple[str, ...]:
    there = c.reference_error_there
    own = "unknown" if there is None else number(there)
    outcome = verdict(c.passed) if c.decisive or not c.passed else "not meaningful"
    return (c.runtime, c.check, c.name, c.kind, number(c.max_abs), own, number(c.budget),
            worst_place(c), "known" if c.known else outcome)  # fmt: skip
