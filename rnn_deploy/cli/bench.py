"""`rnn-deploy bench`: runtimes, lowerings and peers side by side."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, LoweringChoice, open_bundle
from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.console import data, progress, say, table
from rnn_deploy.cli.options import grouped, opening_options, seconds_option
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.perf.bench.contender import Contender, of_bundle
from rnn_deploy.perf.bench.feeds import USUAL
from rnn_deploy.perf.bench.plot import check_place, draw
from rnn_deploy.perf.bench.side_by_side import BenchResult, side_by_side
from rnn_deploy.runtimes.base import RunOptions, Runtime, refuse_if_unavailable
from rnn_deploy.runtimes.registry import default_runtime, runtime_named, runtimes_for
from rnn_deploy.spec import SEQUENCE
from rnn_deploy.spec.opening import Opening
from rnn_deploy.spec.shapes import Shape, shape_from, shapes_for
from rnn_deploy.verifying.report.environment import environment

COLUMNS = (
    *("contender", ">median us", ">95% us", ">of best", ">of possible", ">sequences/s"),
    *(">first ms", ">start ms", ">peak MB", ">largest difference"),
)
CLEAR = 1.1  # below this ratio, two contenders are equally fast
LeftOut = tuple[str, str]  # the name of a contender that was not measured, and the reason


@dataclass(frozen=True)
class BenchRequest:
    """The parameters of `bench`."""

    bundle: Path
    runtime: tuple[str, ...]
    shape: tuple[str, ...]
    lowering: tuple[str, ...]
    against: tuple[str, ...]
    model: Path | None
    seconds: float
    threads: int | None
    plot: Path | None
    force: bool
    as_json: bool

    def __post_init__(self) -> None:
        RunOptions(threads=self.threads)  # raises InputError for a number out of range
        for text in self.shape:
            shape_from(text)
        if self.plot is not None:
            check_place(self.plot)
            refuse_existing(self.plot, force=self.force)
        if self.model is None and (self.lowering or self.against):
            option = "--lowering" if self.lowering else "--against"
            raise InputError(
                "E-OPTION-NEEDS", f"{option} exports the model again; add --model M.keras"
            )


@click.command("bench")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runtime", multiple=True, help="Measure this runtime.  [default: all available]")
@click.option(
    "--shape",
    multiple=True,
    metavar="BATCHxTIME",
    help="Measure this shape; may be repeated.  [default: 1x1, 1x32, 32x32]",
)
@click.option(
    "--lowering", multiple=True, metavar="NAME", help="Also measure this lowering of the model."
)
@click.option(
    "--against",
    multiple=True,
    metavar="PEER",
    help="Also measure another exporter's version of the model: tf2onnx, keras-export,"
    " keras-predict, tensorflow, openvino, litert-stock.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="The .keras file the bundle was made from; --lowering and --against need it.",
)
@opening_options
@seconds_option
@click.option("--threads", type=int, help="Threads within an operator.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw a picture (.svg, .png, .pdf).")
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@grouped(BenchRequest, Opening)
def command(request: BenchRequest, opening: Opening) -> None:
    """Measure BUNDLE: latency, throughput, start-up, first call, peak memory.

    Each contender runs in its own process, and they take turns. So other programs on a busy machine
    slow all of them down alike, and their ratios stay reliable.
    """
    opened = open_bundle(request.bundle)
    entry = opened.manifest.entry(SEQUENCE)
    shapes = shapes_for(entry, [shape_from(text) for text in request.shape], USUAL)
    runtimes, left_out = _runtimes(opened, request.runtime)
    with ExitStack() as stack:
        step = stack.enter_context(progress())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = [of_bundle(opened.root, r.name, request.threads) for r in runtimes]
        if request.lowering or request.against:
            others, not_made = _from_model(request, opening, opened, runtimes, shapes, folder, step)
            contenders, left_out = [*contenders, *others], [*left_out, *not_made]
        # The time limits are known only for the default number of threads.
        layers = _layers(opened) if request.threads is None else ()
        results = side_by_side(
            contenders, shapes, entry, seconds=request.seconds, layers=layers, progress=step
        )
    if all(result.timing is None for result in results):
        why = next((result.failure for result in results), None) or "there are no contenders"
        raise RuntimeUnavailableError("E-BENCH-NOTHING", f"nothing could be measured: {why}")
    if request.plot is not None:
        with writing_file(request.plot, force=request.force) as draft:
            draw(results, f"{opened.root.name}: latency of one call", request.against, draft)
        say(f"wrote {request.plot}")
    _show(opened, environment(runtimes), results, left_out, request.as_json)


def _layers(bundle: Bundle) -> tuple[LoweringChoice, ...]:
    """Return the recurrent layers from the first artifact of the entry point."""
    of_entry = (a for a in bundle.manifest.artifacts if a.entry == SEQUENCE)
    return next((artifact.choices for artifact in of_entry), ())


def _runtimes(bundle: Bundle, names: Sequence[str]) -> tuple[list[Runtime], list[LeftOut]]:
    if not names:
        usable, skipped = runtimes_for(bundle)
        if not usable:
            default_runtime(bundle)  # raises the error with pip commands
        return usable, [(s.runtime, s.reason) for s in skipped]
    runtimes = [runtime_named(name) for name in dict.fromkeys(names)]
    for runtime in runtimes:
        refuse_if_unavailable(runtime)
    return runtimes, []


def _from_model(
    request: BenchRequest, opening: Opening, bundle: Bundle, runtimes: Sequence[Runtime],
    shapes: Sequence[Shape], folder: Path, step: Callable[[str], None],
) -> tuple[list[Contender], list[LeftOut]]:  # fmt: skip
    """Return the contenders that are made from the Keras model."""
    assert request.model is not None
    step("starting TensorFlow")
    from rnn_deploy.perf.peers.build import build, check_peers
    from rnn_deploy.perf.peers.candidates import FORMAT, candidates
    from rnn_deploy.perf.peers.model import model_of

    check_peers(request.against)
    model = model_of(bundle, request.model, opening)
    bundles, refused = candidates(request.lowering, model, folder, step)
    ours = [
        of_bundle(other.root, runtime.name, request.threads, f"{runtime.name}, {name}")
        for name, other in bundles.items()
        for runtime in runtimes
        if runtime.format == FORMAT
    ]
    peers, without = build(request.against, model, folder, shapes, request.threads, step)
    return [*ours, *peers], [(left.name, left.reason) for left in (*refused, *without)]


def _show(
    bundle: Bundle, where: dict[str, str], results: Sequence[BenchResult],
    left_out: Sequence[LeftOut], as_json: bool,
) -> None:  # fmt: skip
    if as_json:
        facts = {
            "bundle": bundle.digest,
            "environment": where,
            "results": [_facts(result) for result in results],
            "left_out": [{"name": name, "reason": reason} for name, reason in left_out],
        }
        data(json.dumps(facts, indent=1))
    else:
        for shape in dict.fromkeys(result.shape for result in results):
            title = f"{bundle.root}: batch {shape.batch}, {shape.time} steps"
            table(title, COLUMNS, _rows([r for r in results if r.shape == shape]))
    for result in results:
        if result.failure is not None:
            say(f"not measured: {result.contender} at {result.shape}: {result.failure}")
    for name, reason in left_out:
        say(f"not measured: {name}: {reason}")
    for line in advice(results):
        say(line)
    say(f"on: {', '.join(f'{key} {value}' for key, value in where.items())}")


def advice(results: Sequence[BenchResult]) -> list[str]:
    """Return which contender to use at each shape, by the medians."""
    lines = []
    for shape in dict.fromkeys(result.shape for result in results):
        ranked = sorted(
            (result.timing.median_us, result.contender)
            for result in results
            if result.shape == shape and result.timing is not None
        )
        if len(ranked) < 2:
            continue
        (best, name), (second, other) = ranked[:2]
        gain = second / best
        if gain < CLEAR:
            lines.append(f"advice: at {shape} {name} and {other} are equally fast; use either")
        else:
            lines.append(f"advice: at {shape} use {name}, {gain:.1f} times as fast as {other}")
    return lines


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _facts(result: BenchResult) -> dict[str, object]:
    facts = dataclasses.asdict(result)
    timing = facts.pop("timing") or {}
    timing.pop("by_round", None)
    return {**facts, **timing, "shape": str(result.shape), "per_second": result.per_second}


def _rows(results: Sequence[BenchResult]) -> list[tuple[str, ...]]:
    """Return the table's rows for the results at one shape."""
    rows: list[tuple[str, ...]] = []
    least = min((r.timing.median_us for r in results if r.timing is not None), default=1.0)
    for result in results:
        timing = result.timing
        if timing is None:
            continue
        apart = "" if result.difference is None else f"{result.difference:.0e}"
        peak = "" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:,.0f}"
        rows.append((
            result.contender, f"{timing.median_us:,.1f}", f"{timing.p95_us:,.1f}",
            f"{timing.median_us / least:.2f}", _percent(result.of_limit),
            f"{result.per_second:,.0f}",
            f"{result.first_ms:,.1f}", f"{result.startup_ms:,.0f}",
            peak, apart,
        ))  # fmt: skip
    return rows
