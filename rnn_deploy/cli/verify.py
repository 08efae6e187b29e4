"""`rnn-deploy verify`: runtimes against the reference."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, Case, open_bundle
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.evidence import Outputs, evidence_options
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.checks import CHECKS
from rnn_deploy.verifying.compare import Comparison
from rnn_deploy.verifying.report import json_from_report, worst_of_each
from rnn_deploy.verifying.results import judged_again, read_results
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
    bundle: Path, runtime: tuple[str, ...], check: tuple[str, ...], against: Path | None,
    seed: int, trust_source: bool, threads: int | None, output: Path | None, junit: Path | None,
    html: Path | None, save: Path | None, stored: Path | None, isolate: bool, time_limit: float,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare runtimes with the golden vectors of BUNDLE: outputs and states.

    Exit code 1 when anything is outside its budget, or nothing could be checked.
    """
    outputs = Outputs(output, junit, html, save, force)
    outputs.refuse()
    if stored is not None:
        running = {"--runtime": runtime, "--check": check, "--against": against, "--save": save}
        _refuse_with_from(running | {"--threads": threads})
    opened = open_bundle(bundle)
    runtimes = [runtime_named(name) for name in runtime] or None
    with outputs.recording() as recording, progress() as step:
        if stored is not None:
            report = judged_again(read_results(stored, opened), None, recording.record)
        else:
            cases = None
            if against is not None:
                cases = _recomputed(opened, against, seed, trust_source, step)
            report = verify(
                opened,
                runtimes=runtimes,
                cases=cases,
                checks=check or tuple(CHECKS),
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
    for skipped in report.skipped:
        say(f"not verified on {skipped.runtime}: {skipped.reason}")
    for line in placement_lines(report):
        say(line)
    say(f"truth: {report.reference}")
    say(f"on: {environment_line(report)}")
    data(report.verdict)


def _row(c: Comparison) -> tuple[str, ...]:
    own = "unknown" if c.reference_error is None else number(c.reference_error)
    return (c.runtime, c.check, c.name, c.kind, number(c.max_abs), own, number(c.budget),
            place_of(c), verdict(c.passed))  # fmt: skip


def _recomputed(
    bundle: Bundle, model: Path, seed: int, trust_source: bool, step: Callable[[str], None]
) -> Sequence[Case]:
    step("recomputing the reference with TensorFlow")
    from rnn_deploy.exporting.bundle import reference_cases
    from rnn_deploy.exporting.plan import ExportOptions, plan_of
    from rnn_deploy.source.intercept import keeping_states
    from rnn_deploy.source.opening import OpenedSavedModel, open_model

    opened = open_model(model, trust_source=trust_source)
    if isinstance(opened, OpenedSavedModel):
        raise InputError(f"{model}: give the .keras or .h5 file, not a SavedModel")
    if opened.source.digest != bundle.manifest.source.digest:
        raise InputError(
            f"{model}: its weights are not those '{bundle.root}' was made from"
            f" ({bundle.manifest.source.name}); give that model, or export this one"
        )
    fixed = {t.shape[1] for t in bundle.manifest.entry("sequence").inputs if len(t.shape) > 1}
    (time,) = fixed if len(fixed) == 1 else (None,)
    state = bundle.manifest.state
    options = ExportOptions(time=time if isinstance(time, int) else None, seed=seed, state=state)
    with keeping_states(state == "keep"):
        plan = plan_of(opened.model, options)
        cases, _ = reference_cases(opened.model, plan, options)
    return cases
