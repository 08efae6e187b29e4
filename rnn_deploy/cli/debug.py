"""`rnn-deploy debug`: find where a bundle differs from the original model, and why."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, GoldenCase, cases_of, open_bundle
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.options import grouped
from rnn_deploy.cli.reference_model import ModelOption, model_options
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import default_runtime, runtime_named, runtimes_for
from rnn_deploy.spec import STEP, STREAM, Array
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.diagnose.by_layer import LayerComparison, LayerReport, by_layer
from rnn_deploy.verifying.diagnose.finding import merged_lines
from rnn_deploy.verifying.diagnose.inner import FORMATS
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.report.text import number

CHECKS = ("sequence", "states", "step", "teacher-forced", "masks", "running-bound")
LayerReports = dict[str, dict[str, LayerReport]]  # by runtime, then by entry point


@click.command("debug")
@click.argument("bundle", type=click.Path(path_type=Path))
@model_options
@click.option("--runtime", multiple=True, help="A runtime to compare.  [default: all available]")
@click.option("--case", metavar="NAME", help="The golden case on which to compare layers.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@grouped(ModelOption)
def command(
    model: ModelOption, bundle: Path, runtime: tuple[str, ...], case: str | None, as_json: bool
) -> None:
    """Show where BUNDLE first differs from the original model: layer, step, row, unit, values.

    With --model MODEL, every layer's output is compared (for ONNX this needs onnx), and common
    causes are named. Exit code 1 if anything differs.
    """
    if case is not None and not (model.model or model.against):
        raise InputError(
            "E-OPTION-NEEDS", "--case applies only to the comparison of layers; add --model MODEL"
        )
    opened = open_bundle(bundle)
    chosen = [runtime_named(name) for name in runtime] or runtimes_for(opened)[0]
    if not chosen:
        default_runtime(opened)  # raises the error with pip commands if no runtime is installed
    layers: LayerReports = {}
    with progress() as step, staying(chosen) as runtimes:
        cases, original = model.open(opened, step)
        if original is not None:
            golden = cases or list(cases_of(opened, special=True))
            layers = _compare_layers(opened, runtimes, original, golden, case, step)
        report = verify(
            opened, runtimes=runtimes, checks=CHECKS, cases=cases, original=original, progress=step
        )
    data(_json(layers, report)) if as_json else _show(bundle, layers, report)
    if not _passed(layers, report):
        wrong = _first_wrong(layers)
        layer = f"layer '{wrong.layer}' is the first that differs; " if wrong else ""
        verdict = _verdict(layers, report)
        raise VerificationError("E-VERIFY-FAILED", f"{bundle}: {layer}{verdict}")


def _first_wrong(layers: LayerReports) -> LayerComparison | None:
    return next((each.first_wrong for each in _each(layers) if each.first_wrong), None)


def _passed(layers: LayerReports, report: Report) -> bool:
    """Return whether all layers in the tables and all checks passed."""
    return report.passed and _first_wrong(layers) is None


def _verdict(layers: LayerReports, report: Report) -> str:
    """Return one verdict on the tables of layers and on the checks."""
    wrong = _first_wrong(layers)
    if wrong is not None and report.passed:
        return (
            f"FAILED: layer '{wrong.layer}' differs in the table, but outputs and states are within"
            " their budgets"
        )
    if wrong is None and layers and not report.passed:
        checks = dict.fromkeys(c.check for c in report.comparisons if not c.passed)
        shown = f" in {', '.join(checks)}" if checks else ""
        return f"{report.verdict}; every layer in the tables is right, the fault shows only{shown}"
    return report.verdict


def _compare_layers(
    bundle: Bundle,
    runtimes: Sequence[Runtime],
    original: OriginalModel,
    cases: Sequence[GoldenCase],
    name: str | None,
    step: Callable[[str], None],
) -> LayerReports:
    """Compare every layer, for each runtime and entry point. name: the case to show."""
    reports: LayerReports = {}
    for runtime in runtimes:
        if runtime.format not in FORMATS:
            say(f"note: only states and outputs of {runtime.name} are compared, not its layers")
            continue
        for entry in (*(e.name for e in bundle.manifest.entries), STEP):
            if bundle.manifest.artifact(runtime.format, entry) is None:
                continue
            feeds = _feeds(bundle, cases, entry, name)
            if feeds:
                step(f"comparing layer by layer on {runtime.name}")
                options = RunOptions(entry=entry)
                report = by_layer(bundle, runtime, options, feeds, original)
                reports.setdefault(runtime.name, {})[entry] = report
    return reports


def _feeds(
    bundle: Bundle, cases: Sequence[GoldenCase], entry: str, name: str | None
) -> list[Mapping[str, Array]]:
    """Return inputs for the layers of an entry point: of the case to show, and single steps."""
    if entry == STEP:
        return _single_steps(bundle, cases, STREAM)
    fitting = [c for c in cases if entry in c.entries and not c.probes]
    return [_case(fitting, name).feeds, *_single_steps(bundle, cases, entry)] if fitting else []


def _single_steps(
    bundle: Bundle, cases: Sequence[GoldenCase], entry: str
) -> list[Mapping[str, Array]]:
    """Return the inputs of single steps, without states if the entry point takes none."""
    names = {tensor.name for tensor in bundle.manifest.entry(entry).all_inputs}
    return [
        {name: value for name, value in case.feeds.items() if name in names}
        for case in cases
        if case.steps and bundle.manifest.entry(entry).time_symbols
    ]


def _case(cases: Sequence[GoldenCase], name: str | None) -> GoldenCase:
    """Return the case of that name; by default the one for masks, or the longest plain one."""
    by_name = {case.name: case for case in cases}
    if name is not None and name not in by_name:
        raise InputError(
            "E-VERIFY-UNKNOWN-CASE",
            f"there is no golden case '{name}'; the cases are {', '.join(by_name)}",
        )
    plain = [case for case in cases if not case.check]
    if name is None and "masks" not in by_name and plain:
        return max(plain, key=lambda case: sum(case.chunks))
    return by_name[name or ("masks" if "masks" in by_name else cases[0].name)]


def _show(bundle: Path, layers: LayerReports, report: Report) -> None:
    columns = ("layer", ">largest error", ">TensorFlow's own", ">budget", "where", "verdict")
    for runtime, entries in layers.items():
        for entry, compared in entries.items():
            rows = [_row(each) for each in compared.layers]
            table(f"{bundle} on {runtime}, entry point '{entry}', layer by layer", columns, rows)
            if compared.summary:
                data(compared.summary)
    for lines in merged_lines(report.findings):
        data("\n  ".join(lines))
    for failed in report.failed_checks:
        say(str(failed))
    for note in report.notes:
        say(f"note: {note}")
    if not layers and report.findings:
        say("next: --model MODEL compares every layer and names common causes")
    data(_verdict(layers, report))


def _row(each: LayerComparison) -> tuple[str, ...]:
    c = each.comparison
    if c is None:
        return each.layer, "", "", "", "its output is not in the graph", ""
    own = "" if c.reference_error is None else number(c.reference_error)
    return (each.layer, number(c.max_abs), own, number(c.budget), str(list(c.worst_index)),
            verdict(c.passed))  # fmt: skip


def _json(layers: LayerReports, report: Report) -> str:
    by_runtime = {
        runtime: {
            entry: {"layers": [_facts(e) for e in compared.layers], "summary": compared.summary}
            for entry, compared in entries.items()
        }
        for runtime, entries in layers.items()
    }
    result: dict[str, object] = {
        "runtimes": by_runtime,
        "findings": [asdict(f) | {"lines": list(f.lines)} for f in report.findings],
        "failed_checks": [asdict(f) for f in report.failed_checks],
        "passed": _passed(layers, report),
        "verdict": _verdict(layers, report),
    }
    return json.dumps(finite(result), indent=1, allow_nan=False)


def _each(layers: LayerReports) -> list[LayerReport]:
    return [report for entries in layers.values() for report in entries.values()]


def _facts(each: LayerComparison) -> dict[str, object]:
    c = each.comparison
    facts = None if c is None else asdict(c)
    return {"layer": each.layer, "passed": None if c is None else c.passed, "comparison": facts}
