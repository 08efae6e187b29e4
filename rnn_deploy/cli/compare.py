"""`rnn-deploy compare`: two models, made here or not, on the same inputs."""

import dataclasses
import json
from pathlib import Path

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.cli.arrays import read_arrays
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.tolerances import atol_option, rtol_option, tolerances_from
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.artifact import open_artifact
from rnn_deploy.runtimes.base import Runner, RunOptions
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from rnn_deploy.verifying.pairing import PairComparison, compared
from rnn_deploy.verifying.report.words import number


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    required=True,
    type=click.Path(path_type=Path),
    help="Inputs for both, by the names of either: .npz, .npy, .csv or .jsonl.",
)
@click.option("--entry", default="sequence", show_default=True, help="Of a bundle.")
@click.option("--runtime", "first_runtime", help="Of FIRST, if it is a bundle.")
@click.option("--second-runtime", help="Of SECOND, if it is a bundle.")
@atol_option
@rtol_option
@click.option("--json", "as_json", is_flag=True, help="Print the comparisons as JSON.")
def command(
    first: Path, second: Path, inputs: Path, entry: str, first_runtime: str | None,
    second_runtime: str | None, atol: tuple[str, ...], rtol: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Compare SECOND with FIRST: each a bundle, an .onnx or a .tflite file.

    Outputs are paired by name, or by order where names differ. Exit code 1 when they are apart.
    """
    asked = UserTolerance(tolerances_from("--atol", atol), tolerances_from("--rtol", rtol))
    with progress() as step:
        step("loading")
        truth = _opened(first, entry, first_runtime)
        other = _opened(second, entry, second_runtime)
        step("running both")
        feeds = read_arrays(inputs, truth.entry)
        names = (str(first), str(second))
        if first == second:
            names = (f"{first} ({first_runtime})", f"{second} ({second_runtime})")
        paired = compared(truth, other, names, feeds, asked)
    if as_json:
        data(_json(paired))
    else:
        _show(paired)
    if not paired.passed:
        raise VerificationError(f"{second}: {paired.verdict}")


def _opened(place: Path, entry: str, runtime: str | None) -> Runner:
    if not place.is_dir():
        if runtime is not None:
            raise InputError(f"{place}: is no bundle, so a runtime cannot be chosen; leave it out")
        return open_artifact(place)
    bundle = open_bundle(place)
    chosen = default_runtime(bundle) if runtime is None else runtime_named(runtime)
    return chosen.load(bundle, RunOptions(entry=entry))


def _show(paired: PairComparison) -> None:
    columns = ("output", ">largest error", ">budget", "where", ">found", ">expected", "verdict")
    table(f"{paired.second} beside {paired.first}", columns, [_row(c) for c in paired.comparisons])
    for note in paired.notes:
        say(f"note: {note}")
    data(paired.verdict)


def _row(c: Comparison) -> tuple[str, ...]:
    return (c.name, number(c.max_abs), number(c.budget), str(list(c.worst_index)),
            f"{c.found:.7g}", f"{c.expected:.7g}", verdict(c.passed))  # fmt: skip


def _json(paired: PairComparison) -> str:
    facts = dataclasses.asdict(paired) | {"passed": paired.passed, "verdict": paired.verdict}
    for comparison, entry in zip(paired.comparisons, facts["comparisons"], strict=True):
        entry["passed"] = comparison.passed
    return json.dumps(finite(facts), indent=1, allow_nan=False)
