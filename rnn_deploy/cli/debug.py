"""`rnn-deploy debug`: where a bundle leaves the original model, layer by layer, and why."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, Case, open_bundle
from rnn_deploy.cli.at_hand import AtHand, model_at_hand
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.spec import Array
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.by_layer import LayerCompared, LayerTruth, compared_by_layer
from rnn_deploy.verifying.explain import explained_by_output
from rnn_deploy.verifying.finding import told_once
from rnn_deploy.verifying.report import finite
from rnn_deploy.verifying.words import number

CHECKS = ("sequence", "states", "step", "teacher-forced", "masks", "running-bound")


@dataclass(frozen=True, eq=False)
class Layers:
    """Every layer of one entry point, and what fault the first that differs seems to have."""

    compared: Sequence[LayerCompared]
    explained: str


@click.command("debug")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="The model it was made from: every layer is compared, and faults are called by name.",
)
@click.option("--runtime", multiple=True, help="A runtime; by default all that are here.")
@click.option("--case", "wanted", metavar="NAME", help="The golden case to compare layers on.")
@click.option("--seed", default=1, show_default=True, help="Of the inputs made with MODEL.")
@click.option("--trust-source", is_flag=True, help="Let MODEL run code of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(
    bundle: Path, against: Path | None, runtime: tuple[str, ...], wanted: str | None, seed: int,
    trust_source: bool, as_json: bool,
) -> None:  # fmt: skip
    """Say where BUNDLE first leaves the original model: layer, step, row, unit, and values.

    With --against MODEL every layer's output of the ONNX artifact is compared (needs onnx), and the
    fault is named where it is one of the usual ones. Exit code 1 when anything differs.
    """
    if wanted is not None and against is None:
        raise InputError("--case chooses what layers are compared on, which needs --against MODEL")
    opened = open_bundle(bundle)
    runtimes = [runtime_named(name) for name in runtime] or None
    layers: dict[str, Layers] = {}
    with progress() as step:
        model = None
        if against is not None:
            model = model_at_hand(opened, against, seed, trust_source, step)
            step("comparing layer by layer")
            layers = _by_layer(opened, model, wanted)
        report = verify(
            opened,
            runtimes=runtimes,
            checks=CHECKS,
            cases=None if model is None else model.cases,
            oracle=None if model is None else model.oracle,
            watched=None if model is None else model.watched,
            progress=step,
        )
    data(_json(layers, report)) if as_json else _show(bundle, layers, report, model)
    every = (each for of_entry in layers.values() for each in of_entry.compared)
    wrong = [each.layer for each in every if each.comparison and not each.comparison.passed]
    if wrong or not report.passed:
        where = f"layer '{wrong[0]}' is the first that differs; " if wrong else ""
        raise VerificationError(f"{bundle}: {where}{report.verdict}")


def _by_layer(bundle: Bundle, model: AtHand, wanted: str | None) -> dict[str, Layers]:
    """Of each entry point that is there as ONNX, every layer."""
    found = {}
    for entry in (e.name for e in bundle.manifest.entries):
        fitting = [c for c in model.cases if entry in c.entries and not c.probes]
        if bundle.manifest.artifact("onnx", entry) is not None and fitting:
            feeds = [_case(fitting, wanted).feeds, *_single_steps(bundle, model, entry)]
            first, *more = (_compared(bundle, model, entry, given) for given in feeds)
            said = (_explained(model, *each) for each in zip((first, *more), feeds, strict=True))
            found[entry] = Layers(first, next(filter(None, said), ""))
    return found


def _single_steps(bundle: Bundle, model: AtHand, entry: str) -> list[Mapping[str, Array]]:
    """Inputs of single steps side by side, without states where the entry point takes none."""
    names = {tensor.name for tensor in bundle.manifest.entry(entry).all_inputs}
    return [
        {name: value for name, value in case.feeds.items() if name in names}
        for case in model.cases
        if case.steps and bundle.manifest.entry(entry).time_symbols
    ]


def _compared(
    bundle: Bundle, model: AtHand, entry: str, feeds: Mapping[str, Array]
) -> list[LayerCompared]:
    truths = [LayerTruth(name, *values) for name, *values in model.layers(feeds)]
    return compared_by_layer(bundle, entry, feeds, truths)


def _explained(model: AtHand, layers: Sequence[LayerCompared], feeds: Mapping[str, Array]) -> str:
    """What fault the first layer that differs seems to have."""
    wrong = next((e for e in layers if e.comparison and not e.comparison.passed), None)
    if wrong is None or wrong.comparison is None or wrong.found is None:
        return ""
    run = next((run for run in model.watched(feeds) if run.name == wrong.layer), None)
    if run is None:
        return ""
    said = explained_by_output(run, wrong.found, wrong.comparison.budget)
    return said and f"layer '{wrong.layer}': {said}"


def _case(cases: Sequence[Case], wanted: str | None) -> Case:
    """The case of that name; else the longest plain one, and one that is masked before it."""
    names = [case.name for case in cases]
    if wanted is not None and wanted not in names:
        raise InputError(f"no golden case '{wanted}'; there are {', '.join(names)}")
    name = wanted or ("masks" if "masks" in names else names[0])
    plain = [case for case in cases if not case.check]
    if wanted is None and name != "masks" and plain:
        return max(plain, key=lambda case: sum(case.chunks))
    return next(case for case in cases if case.name == name)


def _show(
    bundle: Path,
    layers: Mapping[str, Layers],
    report: Report,
    model: AtHand | None,
) -> None:
    columns = ("layer", ">largest error", ">TensorFlow's own", ">budget", "where", "verdict")
    for entry, of_entry in layers.items():
        rows = [_row(each) for each in of_entry.compared]
        table(f"{bundle}, entry point '{entry}', layer by layer", columns, rows)
        if of_entry.explained:
            data(of_entry.explained)
    for lines in told_once(report.findings):
        data("\n  ".join(lines))
    for note in report.notes:
        say(f"note: {note}")
    if model is None and report.findings:
        say("next: --against MODEL compares every layer and names the usual faults")
    data(report.verdict)


def _row(each: LayerCompared) -> tuple[str, ...]:
    c = each.comparison
    if c is None:
        return each.layer, "", "", "", "no value of the graph is its output", ""
    own = "" if c.reference_error is None else number(c.reference_error)
    return (each.layer, number(c.max_abs), own, number(c.budget), str(list(c.worst_index)),
            verdict(c.passed))  # fmt: skip


def _json(layers: Mapping[str, Layers], report: Report) -> str:
    by_layer = {
        entry: {"layers": [_facts(e) for e in of_entry.compared], "explained": of_entry.explained}
        for entry, of_entry in layers.items()
    }
    findings = [asdict(f) | {"said": list(f.lines)} for f in report.findings]
    whole = {"entries": by_layer, "findings": findings, "passed": report.passed}
    return json.dumps(finite(whole | {"verdict": report.verdict}), indent=1, allow_nan=False)


def _facts(each: LayerCompared) -> dict[str, object]:
    c = each.comparison
    facts = None if c is None else asdict(c)
    return {"layer": each.layer, "passed": None if c is None else c.passed, "comparison": facts}
