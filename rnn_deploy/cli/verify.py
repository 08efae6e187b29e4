"""`rnn-deploy verify`: runtimes against the reference."""

from collections.abc import Mapping
from pathlib import Path

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.reference_model import SEED, ModelOption
from rnn_deploy.cli.report_files import ReportFiles, evidence_options, limit_of
from rnn_deploy.cli.tolerances import atol_option, rtol_option, tolerances_from
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.diagnose.file_verdicts import blames
from rnn_deploy.verifying.diagnose.finding import told_once
from rnn_deploy.verifying.judge.checks import CHECKS, QUICK
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from rnn_deploy.verifying.report.report import json_from_report, worst_of_each
from rnn_deploy.verifying.report.results import judged_again, read_results
from rnn_deploy.verifying.report.words import environment_line, number, place_of, placement_lines


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runtime", multiple=True, help="A runtime to verify; by default all that are here.")
@click.option(
    "--check",
    multiple=True,
    type=click.Choice(list(CHECKS)),
    help="A check to run; by default all.",
)
@click.option("--quick", is_flag=True, help=f"The checks that find most: {', '.join(QUICK)}.")
@atol_option
@rtol_option
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Recompute the reference from this model, on new inputs.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="The model it was made from: where something fails, the layer and the fault are named.",
)
@click.option("--seed", type=int, help=f"Of the new inputs.  [default: {SEED}]")
@click.option("--trust-source", is_flag=True, help="Let MODEL run code of its own.")
@click.option("--threads", type=int, help="Threads within an operator.")
@evidence_options
@click.option("--force", is_flag=True, help="Replace an existing report.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    bundle: Path, runtime: tuple[str, ...], check: tuple[str, ...], quick: bool,
    atol: tuple[str, ...], rtol: tuple[str, ...], against: Path | None, model: Path | None,
    seed: int | None, trust_source: bool, threads: int | None, output: Path | None,
    junit: Path | None, html: Path | None, save: Path | None, stored: Path | None,
    isolate: bool | None, time_limit: float | None, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare runtimes with the golden vectors of BUNDLE: outputs and states.

    Exit code 1 when anything is outside its budget, or nothing could be checked.
    """
    if quick and check:
        raise InputError("--quick chooses the checks itself; leave it or --check out")
    at_hand = ModelOption(against, model, seed, trust_source)
    asked = UserTolerance(tolerances_from("--atol", atol), tolerances_from("--rtol", rtol))
    outputs = ReportFiles(output, junit, html, save, force)
    outputs.refuse()
    if stored is not None:
        running = {"--runtime": runtime, "--check": check, "--quick": quick, "--save": save}
        running |= {"--against": against, "--model": model, "--threads": threads}
        running |= {"--time-limit": time_limit, "--isolate": isolate is not None}
        _refuse_with_from(running)
    limit = limit_of(isolate, time_limit, quick=quick)
    opened = open_bundle(bundle)
    if not runtime and stored is None:
        default_runtime(opened)  # raises the error with pip commands if no runtime is installed
    with outputs.recording() as recording, progress() as step:
        if stored is not None:
            report = judged_again(read_results(stored, opened), asked, recording.record)
        else:
            cases, original = at_hand.taken(opened, step)
            report = verify(
                opened,
                runtimes=[runtime_named(name) for name in runtime] or None,
                cases=cases,
                original=original,
                checks=QUICK if quick else check or tuple(CHECKS),
                asked=asked,
                options=RunOptions(threads=threads),
                progress=step,
                record=recording.record,
                limit=limit,
            )
        step("writing the report")
        recording.finish(report)
    if as_json:
        data(json_from_report(report).rstrip())
    else:
        show(report)
    if not report.passed:
        raise VerificationError(f"{bundle}: verification {report.verdict}")


def _refuse_with_from(options: Mapping[str, object]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise InputError(
            f"{given[0]} does not go with --from, which runs nothing; leave one of them out"
        )


def show(report: Report) -> None:
    """Draw a report: for each runtime and tensor the worst case, and all that failed."""
    passed = [c for c in report.comparisons if c.passed]
    failed = worst_of_each(c for c in report.comparisons if not c.passed)
    rows = [_row(c) for c in (*failed, *worst_of_each(passed, by=("runtime", "name")))]
    columns = ("runtime", "worst in", "tensor", "kind", ">error", ">TensorFlow's",
               ">budget", "worst case", "verdict")  # fmt: skip
    if rows:
        table(report.bundle, columns, rows)
    for fault in report.faults:
        say(f"broke off: {fault.runtime}, {fault.check}, case {fault.case}: {fault.message}")
    for lines in told_once(report.findings):
        say("\n  ".join(lines))
    for blame in blames(report.comparisons):
        say(str(blame))
    for skipped in report.skipped:
        say(f"not verified on {skipped.runtime}: {skipped.reason}")
    for note in report.notes:
        say(f"note: {note}")
    for line in placement_lines(report):
        say(line)
    compared = {c.check for c in report.comparisons}
    checks = [check for check in CHECKS if check in compared]
    say(f"checked: {', '.join(checks) or 'nothing'}")
    say(f"truth: {report.reference}")
    say(f"on: {environment_line(report)}")
    data(report.verdict)


def _row(c: Comparison) -> tuple[str, ...]:
    own = "unknown" if c.reference_error is None else number(c.reference_error)
    said = "known" if c.known else verdict(c.passed) if c.decisive or not c.passed else "too wide"
    return (c.runtime, c.check, c.name, c.kind, number(c.max_abs), own, number(c.budget),
            place_of(c), said)  # fmt: skip
