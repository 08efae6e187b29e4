"""`rnn-deploy compare`: two models, exported by rnn-deploy or not, on the same inputs."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, cases_of, open_bundle
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.arrays import read_arrays
from rnn_deploy.cli.console import data, progress, say, table, verdict
from rnn_deploy.cli.keras_runner import is_keras_file, keras_runner
from rnn_deploy.cli.options import grouped, opening_options
from rnn_deploy.cli.tolerances import ToleranceOptions, tolerance_options
from rnn_deploy.errors import InputError, VerificationError
from rnn_deploy.optional import require
from rnn_deploy.runtimes.artifact import open_artifact, runtime_of
from rnn_deploy.runtimes.base import Runner, RunOptions
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.spec import Array
from rnn_deploy.spec.opening import Opening
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.pairing import (
    NamedRunner,
    OutputStatistics,
    PairComparison,
    compare_models,
)
from rnn_deploy.verifying.report.pair_page import html_from_pair
from rnn_deploy.verifying.report.text import number


@dataclass(frozen=True)
class CompareOptions:
    """The two models and their inputs. entry, runtime, second_runtime: apply only to bundles."""

    first: Path
    second: Path
    entry: str
    runtime: str | None = None
    second_runtime: str | None = None
    inputs: Path | None = None


@dataclass(frozen=True)
class _Loaded:
    """A model that was loaded. bundle: None for a file."""

    runner: Runner
    runtime: str
    bundle: Bundle | None = None


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    help="Inputs for both models, by the input names of either: .npz, .npy, .csv or .jsonl."
    "  [default: the golden vectors of the bundle]",
)
@click.option("--entry", default="sequence", show_default=True, help="Entry point of a bundle.")
@click.option("--runtime", help="Runtime of FIRST, if it is a bundle.")
@click.option("--second-runtime", help="Runtime of SECOND, if it is a bundle.")
@opening_options
@tolerance_options
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help="Write the comparison as one HTML page (extra 'report').",
)
@click.option("--force", is_flag=True, help="Replace an existing page.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparisons as JSON.")
@grouped(CompareOptions, ToleranceOptions, Opening)
def command(
    options: CompareOptions,
    tolerances: ToleranceOptions,
    opening: Opening,
    html: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare SECOND with FIRST: each a bundle, an .onnx or .tflite file, or a Keras model.

    Outputs are paired by name, or by order if the names differ. Exit code 1 if any output differs.
    """
    _refuse_unused(options, opening)
    tolerance = tolerances.tolerance
    if html is not None:
        require("jinja2")
        refuse_existing(html, force=force)
    with progress() as step:
        step("loading")
        first = _load(options, opening, options.first, options.runtime)
        second = _load(options, opening, options.second, options.second_runtime)
        step("running both")
        inputs = _inputs(options, first, second)
        a = NamedRunner(str(options.first), first.runner, first.runtime)
        b = NamedRunner(str(options.second), second.runner, second.runtime)
        compared = compare_models(a, b, inputs, tolerance)
    if html is not None:
        with writing_file(html, force=force) as draft:
            draft.write_text(html_from_pair(compared), encoding="utf-8")
        say(f"wrote {html}")
    if as_json:
        data(_json(compared))
    else:
        _show(compared)
    if not compared.passed:
        raise VerificationError("E-VERIFY-FAILED", f"{options.second}: {compared.verdict}")


def _refuse_unused(options: CompareOptions, opening: Opening) -> None:
    if opening != Opening() and not any(map(is_keras_file, (options.first, options.second))):
        raise InputError(
            "E-OPTION-NEEDS",
            "--trust-source, --weights, --model-from and --custom apply only to a Keras model, and"
            " none is compared; remove the option",
        )


def _load(options: CompareOptions, opening: Opening, place: Path, runtime: str | None) -> _Loaded:
    if not place.is_dir():
        if runtime is not None:
            raise InputError(
                "E-OPTION-NEEDS",
                f"a runtime can be chosen only for a bundle, and {place} is a file; remove the"
                " option",
            )
        if is_keras_file(place):
            return _Loaded(keras_runner(place, opening), "Keras")
        return _Loaded(open_artifact(place), runtime_of(place))
    bundle = open_bundle(place)
    chosen = default_runtime(bundle) if runtime is None else runtime_named(runtime)
    return _Loaded(chosen.load(bundle, RunOptions(entry=options.entry)), chosen.name, bundle)


def _inputs(
    options: CompareOptions, first: _Loaded, second: _Loaded
) -> dict[str, Mapping[str, Array]]:
    """Return the user's inputs; by default the golden vectors of the first bundle."""
    if options.inputs is not None:
        return {options.inputs.name: read_arrays(options.inputs, first.runner.entry)}
    bundle = first.bundle or second.bundle
    if bundle is None:
        raise InputError(
            "E-OPTION-NEEDS",
            "neither model is a bundle, which would have golden vectors; add --inputs X.npz",
        )
    cases = [case for case in cases_of(bundle) if options.entry in case.entries]
    if not cases:
        raise InputError(
            "E-OPTION-NEEDS",
            f"{bundle.root} has no golden vectors for entry point '{options.entry}'; add --inputs"
            " X.npz",
        )
    taken = {tensor.name for tensor in bundle.manifest.entry(options.entry).all_inputs}
    return {c.name: {n: v for n, v in c.feeds.items() if n in taken} for c in cases}


def _show(compared: PairComparison) -> None:
    columns = ("output", ">largest error", ">budget", "worst in", ">found", ">expected",
               "verdict")  # fmt: skip
    rows = [_row(c) for c in compared.comparisons]
    names = zip((compared.second, compared.first), reversed(compared.runtimes), strict=True)
    title = " compared with ".join(f"{name} ({runtime})" for name, runtime in names)
    table(title, columns, rows)
    for note in compared.notes:
        say(f"note: {note}")
    for line in (
        *map(_statistics, compared.statistics),
        compared.verdict,
    ):
        data(line)


def _statistics(s: OutputStatistics) -> str:
    same = ""
    if s.agreement is not None:
        same = f", the same prediction in {100 * s.agreement:.2f}% of {s.predictions:,}"
    return (
        f"{s.output}: mean error {number(s.mean_error)}, root mean square"
        f" {number(s.root_mean_square)}, largest {number(s.largest_error)} of {s.values:,}"
        f" values{same}"
    )


def _row(c: Comparison) -> tuple[str, ...]:
    return (c.name, number(c.max_abs), number(c.budget), f"{c.case}{list(c.worst_index)}",
            f"{c.found:.7g}", f"{c.expected:.7g}", verdict(c.passed))  # fmt: skip


def _json(compared: PairComparison) -> str:
    facts = dataclasses.asdict(compared) | {"passed": compared.passed, "verdict": compared.verdict}
    for comparison, entry in zip(compared.comparisons, facts["comparisons"], strict=True):
        entry["passed"] = comparison.passed
    return json.dumps(finite(facts), indent=1, allow_nan=False)
