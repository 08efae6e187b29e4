"""`rnn-deploy compare`: two models, exported by rnn-deploy or not, on the same inputs."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.cli.arrays import read_arrays
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.options import grouped
from rnn_deploy.cli.tolerances import ToleranceOptions, tolerance_options
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.runtimes.artifact import open_artifact
from rnn_deploy.runtimes.base import Runner, RunOptions
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.pairing import NamedRunner, PairComparison, compare_models
from rnn_deploy.verifying.report.text import number


@dataclass(frozen=True)
class CompareOptions:
    """The two models. entry, runtime, second_runtime: apply only to bundles."""

    first: Path
    second: Path
    entry: str
    runtime: str | None = None
    second_runtime: str | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Names of the models: their files; of one bundle on two runtimes, with the runtime."""
        if self.first != self.second:
            return str(self.first), str(self.second)
        return f"{self.first} ({self.runtime})", f"{self.second} ({self.second_runtime})"


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    required=True,
    type=click.Path(path_type=Path),
    help="Inputs of both models, with the names of either: .npz, .npy, .csv or .jsonl.",
)
@click.option("--entry", default="sequence", show_default=True, help="Entry point of a bundle.")
@click.option("--runtime", help="Runtime of FIRST, if it is a bundle.")
@click.option("--second-runtime", help="Runtime of SECOND, if it is a bundle.")
@tolerance_options
@click.option("--json", "as_json", is_flag=True, help="Print the comparisons as JSON.")
@grouped(CompareOptions, ToleranceOptions)
def command(
    options: CompareOptions, tolerances: ToleranceOptions, inputs: Path, as_json: bool
) -> None:
    """Compare SECOND with FIRST: each a bundle, an .onnx or a .tflite file.

    Outputs are paired by name, or by order if the names differ. Exit code 1 if they are different.
    """
    tolerance = tolerances.tolerance
    with progress() as step:
        step("loading")
        first = _load(options.first, options.entry, options.runtime)
        second = _load(options.second, options.entry, options.second_runtime)
        step("running both")
        feeds = read_arrays(inputs, first.entry)
        a, b = map(NamedRunner, options.names, (first, second))
        compared = compare_models(a, b, feeds, tolerance)
    if as_json:
        data(_json(compared))
    else:
        _show(compared)
    if not compared.passed:
        raise VerificationError("E-VERIFY-FAILED", f"{options.second}: {compared.verdict}")


def _load(place: Path, entry: str, runtime: str | None) -> Runner:
    if not place.is_dir():
        if runtime is not None:
            raise InputError(
                "E-OPTION-NEEDS",
                f"a runtime can be chosen only for a bundle, and {place} is a file; remove the"
                " option",
            )
        return open_artifact(place)
    bundle = open_bundle(place)
    chosen = default_runtime(bundle) if runtime is None else runtime_named(runtime)
    return chosen.load(bundle, RunOptions(entry=entry))


def _show(compared: PairComparison) -> None:
    columns = ("output", ">largest error", ">budget", "where", ">found", ">expected", "verdict")
    rows = [_row(c) for c in compared.comparisons]
    table(f"{compared.second} compared with {compared.first}", columns, rows)
    for note in compared.notes:
        say(f"note: {note}")
    data(compared.verdict)


def _row(c: Comparison) -> tuple[str, ...]:
    return (c.name, number(c.max_abs), number(c.budget), str(list(c.worst_index)),
            f"{c.found:.7g}", f"{c.expected:.7g}", verdict(c.passed))  # fmt: skip


def _json(compared: PairComparison) -> str:
    facts = dataclasses.asdict(compared) | {"passed": compared.passed, "verdict": compared.verdict}
    for comparison, entry in zip(compared.comparisons, facts["comparisons"], strict=True):
        entry["passed"] = comparison.passed
    return json.dumps(finite(facts), indent=1, allow_nan=False)
