"""`rnn-deploy verify`: runtimes against the reference."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.at_hand import model_at_hand
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.evidence import Outputs, evidence_options
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.checks import CHECKS, QUICK
from rnn_deploy.verifying.compare import Comparison
from rnn_deploy.verifying.report import json_from_report, worst_of_each
from rnn_deploy.verifying.results import judged_again, read_results
from rnn_deploy.verifying.tolerance import ALL, Asked
from rnn_deploy.verifying.words import environment_line, number, place_of, placement_lines


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
@click.option(
    "--atol",
    multiple=True,
    metavar="[NAME=]E",
    help="Allow an absolute error of E in place of the derived budget; for all or for one output"
    " or state, may be given several times.",
)
@click.option(
    "--rtol",
    multiple=True,
    metavar="[NAME=]E",
    help="The same relative to each true value; with --atol their sum.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Recompute the reference from this model, on new inputs.",
)
@click.option("--seed", default=1, show_default=True, help="Of the new inputs.")
@click.option("--trust-source", is_flag=True, help="Let MODEL run code of its own.")
@click.option("--threads", type=int, help="Threads within an operator.")
@evidence_options
@click.option("--force", is_flag=True, help="Replace an existing report.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    bundle: Path, runtime: tuple[str, ...], check: tuple[str, ...], quick: bool,
    atol: tuple[str, ...], rtol: tuple[str, ...], against: Path | None, seed: int,
    trust_source: bool, threads: int | None, output: Path | None, junit: Path | None,
    html: Path | None, save: Path | None, stored: Path | None, isolate: bool, time_limit: float,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare runtimes with the golden vectors of BUNDLE: outputs and states.

    Exit code 1 when anything is outside its budget, or nothing could be checked.
    """
    if quick and check:
        raise InputError("--quick chooses the checks itself; leave it or --check out")
    asked = Asked(tolerances_from("--atol", atol), tolerances_from("--rtol", rtol))
    outputs = Outputs(output, junit, html, save, force)
    outputs.refuse()
    if stored is not None:
        running = {"--runtime": runtime, "--check": check, "--quick": quick, "--save": save}
        _refuse_with_from(running | {"--against": against, "--threads": threads})
    opened = open_bundle(bundle)
    runtimes = [runtime_named(name) for name in runtime] or None
    with outputs.recording() as recording, progress() as step:
        if stored is not None:
            report = judged_again(read_results(stored, opened), asked, recording.record)
        else:
            model = None
            if against is not None:
                model = model_at_hand(opened, against, seed, trust_source, step)
            report = verify(
                opened,
                runtimes=runtimes,
                cases=None if model is None else model.cases,
                oracle=None if model is None else model.oracle,
                watched=None if model is None else model.watched,
                checks=QUICK if quick else check or tuple(CHECKS),
                asked=asked,
                options=RunOptions(threads=threads),
                progress=step,
                record=recording.record,
                limit=time_limit if isolate else None,
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
    """Draw a report: for each runtime, check and tensor the worst case."""
    rows = [_row(comparison) for comparison in worst_of_each(report.comparisons)]
    columns = ("runtime", "check", "tensor", "kind", ">largest error", ">TensorFlow's own",
               ">budget", "worst case", "verdict")  # fmt: skip
    if rows:
        table(report.bundle, columns, rows)
    for fault in report.faults:
        say(f"broke off: {fault.runtime}, {fault.check}, case {fault.case}: {fault.message}")
    for finding in report.findings:
        first, *others = finding.lines
        say("\n  ".join((first, *others)))
    for skipped in report.skipped:
        say(f"not verified on {skipped.runtime}: {skipped.reason}")
    for note in report.notes:
        say(f"note: {note}")
    for line in placement_lines(report):
        say(line)
    say(f"truth: {report.reference}")
    say(f"on: {environment_line(report)}")
    data(report.verdict)


def _row(c: Comparison) -> tuple[str, ...]:
    own = "unknown" if c.reference_error is None else number(c.reference_error)
    said = "known" if c.known else verdict(c.passed) if c.decisive or not c.passed else "too wide"
    return (c.runtime, c.check, c.name, c.kind, number(c.max_abs), own, number(c.budget),
            place_of(c), said)  # fmt: skip


def tolerances_from(option: str, words: Sequence[str]) -> dict[str, float]:
    """NAME=E by name, E under ALL; InputError for what is no number, or given twice."""
    found: dict[str, float] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        key = name if equals else ALL
        if key in found:
            raise InputError(f"{option} is given twice for {name or 'all'}")
        try:
            found[key] = float(number)
        except ValueError:
            raise InputError(
                f"{option} {word}: '{number}' is no number; give one, such as 1e-5 or y=1e-5"
            ) from None
    return found
