"""`rnn-deploy debug`: where a bundle leaves the original model, layer by layer, and why."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, GoldenCase, cases_of, open_bundle
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.reference_model import SEED, ModelOption
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import default_runtime, runtime_named, runtimes_for
from rnn_deploy.spec import Array
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.diagnose.by_layer import LayerComparison, LayerReport, by_layer
from rnn_deploy.verifying.diagnose.finding import told_once
from rnn_deploy.verifying.diagnose.inner import FORMATS
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.report.words import number

CHECKS = ("sequence", "states", "step", "teacher-forced", "masks", "running-bound")
ByLayer = dict[str, dict[str, LayerReport]]  # by runtime, then by entry point


@click.command("debug")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="The model it was made from: every layer is compared, and faults are called by name.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="The same on new inputs, in place of the bundle's golden vectors.",
)
@click.option("--runtime", multiple=True, help="A runtime; by default all that are here.")
@click.option("--case", "wanted", metavar="NAME", help="The golden case to compare layers on.")
@click.option("--seed", type=int, help=f"Of the inputs made with --against.  [default: {SEED}]")
@click.option("--trust-source", is_flag=True, help="Let MODEL run code of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(
    bundle: Path, model: Path | None, against: Path | None, runtime: tuple[str, ...],
    wanted: str | None, seed: int | None, trust_source: bool, as_json: bool,
) -> None:  # fmt: skip
    """Say where BUNDLE first leaves the original model: layer, step, row, unit, and values.

    With --model MODEL every layer's output is compared (of ONNX this needs onnx), and the fault is
    named where it is one of the usual ones. Exit code 1 when anything differs.
    """
    at_hand = ModelOption(against, model, seed, trust_source)
    if wanted is not None and not (model or against):
        raise InputError("--case chooses what layers are compared on, which needs --model MODEL")
    opened = open_bundle(bundle)
    named = [runtime_named(name) for name in runtime] or runtimes_for(opened)[0]
    if not named:
        default_runtime(opened)  # raises the error with pip commands if no runtime is installed
    layers: ByLayer = {}
    with progress() as step, staying(named) as runtimes:
        cases, original = at_hand.taken(opened, step)
        if original is not None:
            given = cases or list(cases_of(opened, special=True))
            layers = _layers(opened, runtimes, original, given, wanted, step)
        report = verify(
            opened,
            runtimes=runtimes,
            checks=CHECKS,
            cases=cases,
            original=original,
            progress=step,
        )
    data(_json(layers, report)) if as_json else _show(bundle, layers, report)
    wrong = next((each.first_wrong for each in _each(layers) if each.first_wrong), None)
    if wrong or not report.passed:
        where = f"layer '{wrong.layer}' is the first that differs; " if wrong else ""
        raise VerificationError(f"{bundle}: {where}{report.verdict}")


def _layers(
    bundle: Bundle,
    runtimes: Sequence[Runtime],
    original: OriginalModel,
    cases: Sequence[GoldenCase],
    wanted: str | None,
    step: Callable[[str], None],
) -> ByLayer:
    """Of each runtime and entry point, every layer."""
    found: ByLayer = {}
    for runtime in runtimes:
        if runtime.format not in FORMATS:
            say(f"note: the layers of {runtime.name} cannot be seen, only states and outputs")
            continue
        for entry in (e.name for e in bundle.manifest.entries):
            fitting = [c for c in cases if entry in c.entries and not c.probes]
            if bundle.manifest.artifact(runtime.format, entry) is not None and fitting:
                step(f"comparing layer by layer on {runtime.name}")
                feeds = [_case(fitting, wanted).feeds, *_single_steps(bundle, cases, entry)]
                options = RunOptions(entry=entry)
                of_entry = by_layer(bundle, runtime, options, feeds, original)
                found.setdefault(runtime.name, {})[entry] = of_entry
    return found


def _single_steps(
    bundle: Bundle, cases: Sequence[GoldenCase], entry: str
) -> list[Mapping[str, Array]]:
    """Inputs of single steps side by side, without states where the entry point takes none."""
    names = {tensor.name for tensor in bundle.manifest.entry(entry).all_inputs}
    return [
        {name: value for name, value in case.feeds.items() if name in names}
        for case in cases
        if case.steps and bundle.manifest.entry(entry).time_symbols
    ]


def _case(cases: Sequence[GoldenCase], wanted: str | None) -> GoldenCase:
    """The case of that name; else the longest plain one, and one that is masked before it."""
    names = [case.name for case in cases]
    if wanted is not None and wanted not in names:
        raise InputError(f"no golden case '{wanted}'; there are {', '.join(names)}")
    name = wanted or ("masks" if "masks" in names else names[0])
    plain = [case for case in cases if not case.check]
    if wanted is None and name != "masks" and plain:
        return max(plain, key=lambda case: sum(case.chunks))
    return next(case for case in cases if case.name == name)


def _show(bundle: Path, layers: ByLayer, report: Report) -> None:
    columns = ("layer", ">largest error", ">TensorFlow's own", ">budget", "where", "verdict")
    for runtime, entries in layers.items():
        for entry, of_entry in entries.items():
            rows = [_row(each) for each in of_entry.compared]
            table(f"{bundle} on {runtime}, entry point '{entry}', layer by layer", columns, rows)
            if of_entry.said:
                data(of_entry.said)
    for lines in told_once(report.findings):
        data("\n  ".join(lines))
    for fault in report.faults:
        say(f"broke off: {fault.runtime}, {fault.check}, case {fault.case}: {fault.message}")
    for note in report.notes:
        say(f"note: {note}")
    if not layers and report.findings:
        say("next: --model MODEL compares every layer and names the usual faults")
    data(report.verdict)


def _row(each: LayerComparison) -> tuple[str, ...]:
    c = each.comparison
    if c is None:
        return each.layer, "", "", "", "no value of the graph is its output", ""
    own = "" if c.reference_error is None else number(c.reference_error)
    return (each.layer, number(c.max_abs), own, number(c.budget), str(list(c.worst_index)),
            verdict(c.passed))  # fmt: skip


def _json(layers: ByLayer, report: Report) -> str:
    by_runtime = {
        runtime: {
            entry: {"layers": [_facts(e) for e in of_entry.compared], "said": of_entry.said}
            for entry, of_entry in entries.items()
        }
        for runtime, entries in layers.items()
    }
    findings = [asdict(f) | {"said": list(f.lines)} for f in report.findings]
    faults = [asdict(f) for f in report.faults]
    whole: dict[str, object] = {"runtimes": by_runtime, "findings": findings, "faults": faults}
    whole |= {"passed": report.passed, "verdict": report.verdict}
    return json.dumps(finite(whole), indent=1, allow_nan=False)


def _each(layers: ByLayer) -> list[LayerReport]:
    return [of_entry for entries in layers.values() for of_entry in entries.values()]


def _facts(each: LayerComparison) -> dict[str, object]:
    c = each.comparison
    facts = None if c is None else asdict(c)
    return {"layer": each.layer, "passed": None if c is None else c.passed, "comparison": facts}
