"""`rnn-deploy verify`: runtimes against the reference."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, Case, open_bundle
from rnn_deploy.bundle.manifest import Quantisation
from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.checks import CHECKS
from rnn_deploy.verifying.compare import Comparison
from rnn_deploy.verifying.cost import MARGIN
from rnn_deploy.verifying.report import json_from_report, worst_of_each


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
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the report as JSON.")
@click.option("--force", is_flag=True, help="Replace an existing report.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    bundle: Path, runtime: tuple[str, ...], check: tuple[str, ...], against: Path | None,
    seed: int, trust_source: bool, threads: int | None, output: Path | None, force: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Compare runtimes with the golden vectors of BUNDLE: outputs and states.

    Exit code 1 when anything is outside its budget, or nothing could be checked.
    """
    if output is not None:
        refuse_existing(output, force=force)
    opened = open_bundle(bundle)
    runtimes = [runtime_named(name) for name in runtime] or None
    with progress() as step:
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
        )
    if output is not None:
        with writing_file(output, force=force) as draft:
            draft.write_text(json_from_report(report), encoding="utf-8")
    if as_json:
        data(json_from_report(report).rstrip())
    else:
        show(report)
        for line in quantised_budget(opened.manifest.quantisation):
            say(line)
    if not report.passed:
        raise VerificationError(f"{bundle}: verification {report.verdict}")


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
    say(f"truth: {report.reference}")
    data(report.verdict)


def quantised_budget(quantisation: Quantisation | None) -> list[str]:
    """How a quantised artifact is judged, in a line for a person."""
    if quantisation is None:
        return []
    return [
        f"{quantisation.format} is quantised to {quantisation.mode}: its budgets are"
        f" {MARGIN:g} times the largest errors measured on export, which rnn-deploy inspect shows"
    ]


def _row(c: Comparison) -> tuple[str, ...]:
    own = "unknown" if c.reference_error is None else number(c.reference_error)
    place = f"{c.case}{list(c.worst_index)}" if c.max_abs else c.case
    return (c.runtime, c.check, c.name, c.kind, number(c.max_abs), own, number(c.budget), place,
            verdict(c.passed))  # fmt: skip


def number(value: float) -> str:
    """An error in three figures."""
    return f"{value:.1e}" if math.isfinite(value) and value else str(value).removesuffix(".0")


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
    quantisation = bundle.manifest.quantisation
    if quantisation is not None and quantisation.mode == "int8":
        raise InputError(
            "--against makes up inputs, and int8 is right only within the ranges of those it was"
            " calibrated on; verify without it, on the bundle's own golden vectors"
        )
    fixed = {t.shape[1] for t in bundle.manifest.entry("sequence").inputs if len(t.shape) > 1}
    (time,) = fixed if len(fixed) == 1 else (None,)
    state = bundle.manifest.state
    options = ExportOptions(time=time if isinstance(time, int) else None, seed=seed, state=state)
    with keeping_states(state == "keep"):
        plan = plan_of(opened.model, options)
        cases, _ = reference_cases(opened.model, plan, options)
    return cases
