"""Measure layers over a grid beside the peers, and write docs/internals/benchmarks.md.

    scripts/bench grid [--full] [--seconds S]

Each model is one layer that returns its whole sequence. Everything that runs it (our export as it
is, our other lowerings and runtimes, the peers' exports) is loaded once in a process of its own and
then measured at every shape in interleaved rounds, together with the limits: a matrix product of as
many multiplications, and reading the recurrent weights once per step. Ratios are medians over
rounds.

Turns are few and long, and the first part of each is not timed (measure.LONG_TURNS). Of our own
forms those that are far from the best in a first look take no further part.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

import rnn_deploy
from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli.console import progress, say, without_native_log_lines
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.optional import installed_version, require
from rnn_deploy.perf.bench.contender import Contender, of_bundle
from rnn_deploy.perf.bench.feeds import feeds_of
from rnn_deploy.perf.bench.measure import (
    LONG_TURNS,
    CallLatency,
    Timed,
    TurnTaking,
    in_rounds,
    ratio,
    timed,
)
from rnn_deploy.perf.bench.side_by_side import TIME_LIMIT
from rnn_deploy.perf.bench.worker import ContenderServer
from rnn_deploy.perf.peers.build import build
from rnn_deploy.perf.peers.model import model_of
from rnn_deploy.runtimes.machine import cores, processor
from rnn_deploy.runtimes.onnxruntime import SPLIT
from rnn_deploy.spec.shapes import Shape
from rnn_deploy.workers.process import WorkerProcess

DOCS = Path(__file__).resolve().parents[1] / "docs" / "internals"
BEGIN, END = "<!-- figures -->", "<!-- end -->"
GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
PEERS = ("tf2onnx", "keras-export", "tensorflow", "openvino")
PACKAGES = ("onnxruntime", "openvino", "ai-edge-litert", "tensorflow", "keras", "tf2onnx", "numpy")
AUTO, OURS, PRODUCT, MEMORY = "auto", "ours", "product", "memory"
REDUCED = ((1, 8, 32), (1, 10, 100), (16, 64, 256))
FULL = ((1, 8, 32, 128), (1, 10, 100, 1000), (16, 64, 256, 512))
MOST_FLOP = 2e9
FAR = 1.6  # times as long as the best of ours
WRITTEN_OUT = 16  # steps at most
READ = 64 * 1024  # floats, as large as weights that stay in a core's own cache


@dataclass(frozen=True)
class Point:
    """One cell at one size: the figures of each contender and of the limits."""

    cell: str
    width: int
    units: int
    shape: Shape
    timings: Mapping[str, CallLatency]

    def ours(self) -> str:
        """The fastest of our forms, as `rnn-deploy tune` would take."""
        ours = {
            n: t.median_us for n, t in self.timings.items() if n not in (*PEERS, PRODUCT, MEMORY)
        }
        return min(ours, key=ours.__getitem__)

    def times_as_fast(self, peer: str, own: str) -> float | None:
        """How many times as fast `own` is as a peer."""
        if peer not in self.timings or own not in self.timings:
            return None
        return ratio(self.timings[peer], self.timings[own])

    def of_limit(self) -> float:
        """The part of the time that the larger limit alone would take."""
        own = self.timings[self.ours()]
        weights = GATES[self.cell] * self.units**2
        reading = ratio(self.timings[MEMORY], own) * self.shape.time * weights / READ
        return max(ratio(self.timings[PRODUCT], own), reading)


def main(words: Sequence[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="scripts/bench grid")
    parser.add_argument("--full", action="store_true", help="the whole grid; about half an hour")
    parser.add_argument("--seconds", type=float, default=0.22, help="for each contender and shape")
    asked = parser.parse_args(words)
    batches, times, units = FULL if asked.full else REDUCED
    shapes = [Shape(batch, time) for batch in batches for time in times]
    points: list[Point] = []
    with progress() as step:
        for cell in GATES:
            for width in units:
                points += _model_points(cell, width, shapes, asked.seconds, step)
                _write(points)  # so that a long run that is ended leaves what it had
    say(f"wrote {DOCS / 'benchmarks.md'} and benchmarks.svg")
    return 0


def _write(points: Sequence[Point]) -> None:
    page = DOCS / "benchmarks.md"
    with writing_file(page, force=True) as draft:
        draft.write_text(_replaced(page.read_text(encoding="utf-8"), _figures(points)), "utf-8")
    with writing_file(DOCS / "benchmarks.svg", force=True) as draft:
        _draw(points, draft)


def _model_points(
    cell: str, units: int, shapes: Sequence[Shape], seconds: float, step: Callable[[str], None]
) -> Iterator[Point]:
    from rnn_deploy.keras.tensorflow import keras

    width = min(64, units)
    x = keras.Input((None, width), name="x")
    model = keras.Model(x, getattr(keras.layers, cell)(units, return_sequences=True, name="rnn")(x))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        step(f"{cell} {units}: exporting")
        bundle = rnn_deploy.export(model, folder / "auto")
        times = dict.fromkeys(shape.time for shape in shapes)
        contenders = [*_ours(model, bundle, folder, times), *_peers(model, bundle, folder)]
        workers = {}
        for contender in contenders:
            step(f"{cell} {units}: starting {contender.name}")
            process = WorkerProcess(ContenderServer, time_limit=TIME_LIMIT)
            workers[contender.name] = stack.enter_context(process)
            process.ask("load", contender)
        for shape in shapes:
            if 2 * shape.batch * shape.time * GATES[cell] * units * (units + width) > MOST_FLOP:
                continue
            step(f"{cell} {units}: {shape}")
            calls: dict[str, Any] = {}
            feeds = feeds_of(bundle.manifest.entry("sequence"), shape)
            for contender in contenders:
                name, worker = contender.name, workers[contender.name]
                if not contender.fits(shape):
                    continue
                try:
                    worker.ask("first", feeds)
                    calls[name] = partial(worker.ask, "calls")
                except RnnDeployError as error:
                    say(f"{cell} {units} at {shape}: {name}: {error}")
            calls = _near(calls)
            calls |= {
                name: timed(call) for name, call in _limits(cell, width, units, shape).items()
            }
            timings = in_rounds(calls, seconds=seconds, turns=LONG_TURNS)
            yield Point(cell, width, units, shape, timings)


def _near(calls: Mapping[str, Timed]) -> dict[str, Timed]:
    """Without those of our own that are far from the best of them."""
    ours = {name: call for name, call in calls.items() if name not in PEERS}
    seen = in_rounds(ours, seconds=0.03, turns=TurnTaking(3))
    best = min(timing.median_us for timing in seen.values())
    far = {n for n, timing in seen.items() if n != AUTO and timing.median_us > FAR * best}
    return {name: call for name, call in calls.items() if name not in far}


def _ours(model: Any, bundle: Bundle, folder: Path, times: Iterable[int]) -> list[Contender]:
    found = [of_bundle(bundle.root, "ort-cpu", None, AUTO)]
    found += [of_bundle(bundle.root, name, None) for name in ("litert",)]
    for lowering in ("native", "scan"):
        other = rnn_deploy.export(model, folder / lowering, to=("onnx",), lowering=lowering)
        found += [of_bundle(other.root, name, None, f"{name}, {lowering}")
                  for name in ("ort-cpu", "openvino-cpu")]  # fmt: skip
        split = of_bundle(other.root, "ort-cpu", None, f"ort-cpu, {lowering}, split batch")
        found.append(replace(split, session=(SPLIT,)))
    for steps in (time for time in times if time <= WRITTEN_OUT):
        place = folder / f"written-out-{steps}"
        rnn_deploy.export(model, place, to=("onnx",), lowering="unrolled", time=steps)
        one = of_bundle(place, "ort-cpu", None, f"ort-cpu, written out for {steps}")
        found.append(replace(one, steps=steps))
    return found


def _peers(model: Any, bundle: Bundle, folder: Path) -> list[Contender]:
    place = folder / "model.keras"
    model.save(place)
    contenders, left_out = build(PEERS, model_of(bundle, place), folder, ())
    for left in left_out:
        say(f"{model.name}: not measured: {left.name}: {left.reason}")
    return contenders


def _limits(cell: str, width: int, units: int, shape: Shape) -> dict[str, Callable[[], object]]:
    """A matrix product of as many multiplications as the layer makes (ONNX Runtime's), and
    reading READ floats."""
    rows, columns = shape.batch * shape.time, GATES[cell] * units
    inner = width + round(units * (shape.time - 1) / shape.time)  # the first step begins from zero
    tensors = [onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in (
        ("a", (rows, inner)), ("b", (inner, columns)), ("y", (rows, columns)))]  # fmt: skip
    node = onnx.helper.make_node("MatMul", ["a", "b"], ["y"])
    rng = np.random.default_rng(0)
    b = rng.standard_normal((inner, columns)).astype(np.float32)
    weights = [onnx.numpy_helper.from_array(b, "b")]
    graph = onnx.helper.make_graph([node], "product", tensors[:1], tensors[2:], weights)
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feeds = {"a": rng.standard_normal((rows, inner)).astype(np.float32)}
    floats = np.ones(READ, np.float32)
    return {PRODUCT: partial(session.run, None, feeds), MEMORY: partial(np.dot, floats, floats)}


def _figures(points: Sequence[Point]) -> str:
    versions = ", ".join(f"{name} {installed_version(name)}" for name in PACKAGES)
    lines = [
        f"From `scripts/bench grid` on {processor()}, {cores()} cores (shared), float32;"
        f" {versions}. One run; ratios are medians over rounds in which all took turns.",
        "",
        "How many times as fast as each peer: geometric mean over the sizes, and the least.",
        "",
        "| cell | what | " + " | ".join(PEERS) + " |",
        "|---|---|" + "---|" * len(PEERS),
    ]
    for cell in GATES:
        for what in (AUTO, OURS):
            told = [_told(points, cell, what, peer) for peer in PEERS]
            label = "`auto` on `ort-cpu`" if what == AUTO else "best of ours (what `tune` takes)"
            lines.append(f"| {cell} | {label} | {' | '.join(told)} |")
    lines += ["", "![times as fast as each peer](benchmarks.svg)", ""]
    return "\n".join([*lines, *_table(points)])


def _told(points: Sequence[Point], cell: str, what: str, peer: str) -> str:
    of_cell = [p for p in points if p.cell == cell]
    found = [p.times_as_fast(peer, AUTO if what == AUTO else p.ours()) for p in of_cell]
    known = [value for value in found if value is not None]
    if not known:
        return "-"
    return f"{math.exp(np.mean(np.log(known))):.1f}, least {min(known):.2f}"


def _table(points: Sequence[Point]) -> list[str]:
    lines = [
        "Each size: microseconds of `auto` and of the best of ours, times as fast as each peer (the"
        " best of ours), and the part of its time that the limit would take: the larger of a matrix"
        " product of as many multiplications (ONNX Runtime's MatMul, call and all) and reading the"
        " recurrent weights once per step.",
        "",
        "| cell | batch x time, inputs, units | `auto` us | best us | which | "
        + " | ".join(PEERS) + " | of the limit |",
        "|---|---|---|---|---|" + "---|" * (len(PEERS) + 1),
    ]  # fmt: skip
    for p in points:
        own = p.ours()
        told = [p.times_as_fast(peer, own) for peer in PEERS]
        ratios = " | ".join("-" if value is None else f"{value:.2f}" for value in told)
        lines.append(
            f"| {p.cell} | {p.shape}, {p.width}, {p.units} | {p.timings[AUTO].median_us:,.0f} |"
            f" {p.timings[own].median_us:,.0f} | {own} | {ratios} | {p.of_limit():.0%} |"
        )
    return lines


def _replaced(page: str, figures: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{figures}\n{END}{after}"


def _draw(points: Sequence[Point], place: Path) -> None:
    figure = require("matplotlib.figure").Figure(figsize=(9, 7), layout="constrained")
    panels = figure.subplots(len(GATES), 1, sharex=True)
    for panel, cell in zip(panels, GATES, strict=True):
        of_cell = [p for p in points if p.cell == cell]
        for peer, marker in zip(PEERS, "os^D", strict=True):
            values = [p.times_as_fast(peer, p.ours()) or np.nan for p in of_cell]
            panel.plot(values, marker, ms=4, label=peer)
        panel.axhline(1, color="black", lw=0.8)
        panel.set_yscale("log")
        panel.set_title(cell, loc="left", fontsize=9)
        panel.set_ylabel("times as fast", fontsize=8)
        panel.grid(axis="y", color="#e6e6e6")
    labels = [f"{p.units}: {p.shape}" for p in points if p.cell == "SimpleRNN"]
    panels[-1].set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    panels[0].legend(ncols=len(PEERS), fontsize=8, frameon=False)
    panels[-1].set_xlabel("units: batch x time", fontsize=8)
    figure.savefig(place, metadata={"Date": None})


if __name__ == "__main__":
    with without_native_log_lines():
        code = main(sys.argv[1:])
    sys.exit(code)
