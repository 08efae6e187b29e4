"""`rnn-deploy bench`: runtimes, lowerings and peers side by side."""

import dataclasses
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from rnn_deploy.bundle import Bundle, LoweringChoice, open_bundle
from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.console import data, progress, say, table
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.perf.bench.contender import Contender, of_bundle
from rnn_deploy.perf.bench.feeds import USUAL
from rnn_deploy.perf.bench.plot import check_place, draw
from rnn_deploy.perf.bench.side_by_side import BenchResult, side_by_side
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.registry import runtime_named, runtimes_for
from rnn_deploy.spec import SEQUENCE
from rnn_deploy.spec.shapes import Shape, shape_from, shapes_for

COLUMNS = (
    *("contender", ">median us", ">95% us", ">of best", ">of limit", ">sequences/s"),
    *(">first ms", ">start ms", ">peak MB", ">apart"),
)
Said = tuple[str, str]  # what was left out, and why


@dataclass(frozen=True)
class BenchRequest:
    """What beside the bundle is to be measured."""

    model: Path | None
    lowerings: tuple[str, ...]
    peers: tuple[str, ...]
    trust_source: bool


@click.command("bench")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runtime", multiple=True, help="A runtime; by default all that are here.")
@click.option(
    "--shape",
    multiple=True,
    metavar="BATCHxTIME",
    help="A shape to measure; may be given again.  [default: 1x1, 1x32, 32x32]",
)
@click.option(
    "--lowering", multiple=True, metavar="NAME", help="Another lowering of the model, beside it."
)
@click.option(
    "--against",
    multiple=True,
    metavar="PEER",
    help="Its own export of the model, beside it: tf2onnx, keras-export, tensorflow, openvino,"
    " litert-stock.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="The .keras file the bundle was made from; --lowering and --against need it.",
)
@click.option("--trust-source", is_flag=True, help="Let the model's file run code of its own.")
@click.option("--seconds", default=0.5, show_default=True, help="For each contender and shape.")
@click.option("--threads", type=int, help="Threads within an operator.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw a picture (.svg, .png, .pdf).")
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    bundle: Path, runtime: tuple[str, ...], shape: tuple[str, ...], lowering: tuple[str, ...],
    against: tuple[str, ...], model: Path | None, trust_source: bool, seconds: float,
    threads: int | None, plot: Path | None, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure BUNDLE: latency, throughput, start-up, first call, peak memory.

    Each contender runs in a process of its own, and they take turns, so that their ratios mean
    something on a busy machine.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(f"--seconds {seconds}: expected a number of seconds, for instance 0.5")
    RunOptions(threads=threads)  # so that a number that is none is refused now
    asked_shapes = [shape_from(text) for text in shape]
    if plot is not None:
        check_place(plot)
        refuse_existing(plot, force=force)
    opened = open_bundle(bundle)
    entry = opened.manifest.entry(SEQUENCE)
    shapes = shapes_for(entry, asked_shapes, USUAL)
    runtimes, skipped = _runtimes(opened, runtime)
    asked = BenchRequest(model, lowering, against, trust_source)
    with ExitStack() as stack:
        step = stack.enter_context(progress())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = [of_bundle(opened.root, r.name, threads) for r in runtimes]
        others, left_out = _others(asked, opened, runtimes, shapes, threads, folder, step)
        layers = _layers(opened) if threads is None else ()  # the limits are of all cores
        results = side_by_side(
            [*contenders, *others], shapes, entry, seconds=seconds, layers=layers, progress=step
        )
    left_out = [*skipped, *left_out]
    if all(result.timing is None for result in results):
        why = next((result.failure for result in results), None) or "there are no contenders"
        raise RuntimeUnavailableError(f"nothing could be measured: {why}")
    if plot is not None:
        with writing_file(plot, force=force) as draft:
            draw(results, f"{opened.root.name}: latency of one call", against, draft)
    _show(opened, results, left_out, as_json)


def _layers(bundle: Bundle) -> tuple[LoweringChoice, ...]:
    """The recurrent layers, from whichever artifact tells them."""
    of_entry = (a for a in bundle.manifest.artifacts if a.entry == SEQUENCE)
    return next((artifact.choices for artifact in of_entry), ())


def _runtimes(bundle: Bundle, names: Sequence[str]) -> tuple[list[Runtime], list[Said]]:
    if not names:
        usable, skipped = runtimes_for(bundle)
        return usable, [(s.runtime, s.reason) for s in skipped]
    runtimes = [runtime_named(name) for name in dict.fromkeys(names)]
    for runtime in runtimes:
        why = runtime.why_unavailable()
        if why is not None:
            raise RuntimeUnavailableError(f"runtime '{runtime.name}': {why}")
    return runtimes, []


def _others(
    asked: BenchRequest, bundle: Bundle, runtimes: Sequence[Runtime], shapes: Sequence[Shape],
    threads: int | None, folder: Path, step: Callable[[str], None],
) -> tuple[list[Contender], list[Said]]:  # fmt: skip
    """The contenders that are made from the Keras model."""
    if not asked.lowerings and not asked.peers:
        return [], []
    if asked.model is None:
        option = "--lowering" if asked.lowerings else "--against"
        raise InputError(f"{option} makes another export of the model; add --model M.keras")
    step("starting TensorFlow")
    from rnn_deploy.perf.peers.build import build, check_peers
    from rnn_deploy.perf.peers.candidates import FORMAT, candidates
    from rnn_deploy.perf.peers.model import model_of

    check_peers(asked.peers)
    model = model_of(bundle, asked.model, trust_source=asked.trust_source)
    bundles, refused = candidates(asked.lowerings, model, folder, step)
    ours = [
        of_bundle(other.root, runtime.name, threads, f"{runtime.name}, {name}")
        for name, other in bundles.items()
        for runtime in runtimes
        if runtime.format == FORMAT
    ]
    peers, without = build(asked.peers, model, folder, shapes, threads, step)
    return [*ours, *peers], [(left.name, left.reason) for left in (*refused, *without)]


def _show(
    bundle: Bundle, results: Sequence[BenchResult], left_out: Sequence[Said], as_json: bool
) -> None:
    if as_json:
        said = {
            "bundle": bundle.digest,
            "results": [_facts(result) for result in results],
            "left_out": [{"name": name, "reason": reason} for name, reason in left_out],
        }
        data(json.dumps(said, indent=1))
    else:
        for shape in dict.fromkeys(result.shape for result in results):
            title = f"{bundle.root}: batch {shape.batch}, {shape.time} steps"
            table(title, COLUMNS, _rows([r for r in results if r.shape == shape]))
    for result in results:
        if result.failure is not None:
            say(f"no figures of {result.contender} at {result.shape}: {result.failure}")
    for name, reason in left_out:
        say(f"not measured: {name}: {reason}")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _facts(result: BenchResult) -> dict[str, object]:
    facts = dataclasses.asdict(result)
    timing = facts.pop("timing") or {}
    timing.pop("by_round", None)
    return {**facts, **timing, "shape": str(result.shape), "per_second": result.per_second}


def _rows(results: Sequence[BenchResult]) -> list[tuple[str, ...]]:
    """The results at one shape."""
    rows: list[tuple[str, ...]] = []
    least = min((r.timing.median_us for r in results if r.timing is not None), default=1.0)
    for result in results:
        timing = result.timing
        if timing is None:
            continue
        apart = "" if result.difference is None else f"{result.difference:.0e}"
        rows.append((
            result.contender, f"{timing.median_us:,.1f}", f"{timing.p95_us:,.1f}",
            f"{timing.median_us / least:.2f}", _percent(result.of_limit),
            f"{result.per_second:,.0f}",
            f"{result.first_ms:,.1f}", f"{result.startup_ms:,.0f}",
            f"{result.peak_bytes / 1e6:,.0f}", apart,
        ))  # fmt: skip
    return rows
