"""Fit `rnn_deploy/onnx/costs.py`: what a layer costs on ONNX Runtime, by lowering and shape.

    python scripts/fit_costs.py [--from measured.json] [-o measured.json]

Single layers are written by our own lowerings and measured on one thread, the lowerings taking
turns; then microseconds = sum of coefficient * feature is fitted with coefficients that are not
negative and relative errors that count alike. Prints the table for costs.py, and how far the
choices that follow from it are from the best ones.
"""

import argparse
import json
import math
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
from scipy.optimize import nnls

from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli.console import data, say
from rnn_deploy.numerics.layouts import GATES
from rnn_deploy.onnx.calls import lower_call
from rnn_deploy.onnx.costs import CallSize, features
from rnn_deploy.perf.bench import measure
from rnn_deploy.perf.bench.feeds import varied
from rnn_deploy.spec import RecurrentLayer

KINDS = [
    *(("simple_rnn", activation, masked) for activation in ("tanh", "relu") for masked in (0, 1)),
    *((cell, "tanh", masked) for cell in ("gru", "lstm") for masked in (0, 1)),
]
BATCHES, TIMES, UNITS, WIDTHS = (1, 4, 16, 64), (1, 10, 100), (4, 16, 64, 256, 512), (16, 128)
MOST_FLOP = 1.5e9
LOWERINGS = ("native", "scan")


def main() -> None:
    """Measure, or read what was measured; fit; print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    rows = json.loads(asked.source.read_text()) if asked.source else list(_measured())
    if asked.output:
        with writing_file(asked.output, force=True) as draft:
            draft.write_text(json.dumps(rows))
    for kind in KINDS:
        of_kind = [r for r in rows if (r["cell"], r["activation"], r["masked"]) == kind]
        _report(kind, of_kind)


def _measured() -> Iterator[dict[str, Any]]:
    for (cell, activation, masked), units, width in product(KINDS, UNITS, WIDTHS):
        if width != WIDTHS[0] and masked:
            continue
        say(f"{cell} {activation} {'masked ' * masked}{units} units, {width} inputs")
        sessions = {
            name: _session(_layer(cell, activation, masked, units, width), name)
            for name in LOWERINGS
        }
        for batch, time in product(BATCHES, TIMES):
            flop = 2 * batch * time * GATES[cell] * units * (units + width)
            if flop > MOST_FLOP:
                continue
            rng = np.random.default_rng(0)
            feeds = {"x": rng.standard_normal((batch, time, width)).astype(np.float32)}
            if masked:
                lengths = np.linspace(time, max(1, time // 2), batch).astype(int)
                feeds["mask"] = np.arange(time)[None, :] < lengths[:, None]
            turns = {name: cycle(varied(feeds)) for name in LOWERINGS}
            timings = measure(
                {n: lambda s=s, f=turns[n]: s.run(None, next(f)) for n, s in sessions.items()},
                seconds=0.08,
            )
            yield {
                "cell": cell, "activation": activation, "masked": masked, "units": units,
                "width": width, "batch": batch, "time": time,
                **{name: timing.median_us for name, timing in timings.items()},
            }  # fmt: skip


def _layer(cell: str, activation: str, masked: int, units: int, width: int) -> RecurrentLayer:
    rng = np.random.default_rng(0)

    def weights(inner: int, columns: int) -> Any:
        # As large as Keras begins with: how long a tanh takes depends on what it is of.
        scale = math.sqrt(2 / (inner + units))
        return (rng.standard_normal((inner, columns)) * scale).astype(np.float32)

    columns = GATES[cell] * units
    bias = np.zeros((2, columns), np.float32)
    return RecurrentLayer(
        name="rnn", cell=cell, units=units, go_backwards=False, return_sequences=True, steps=None,
        initial_state=False, masked=bool(masked), kernel=weights(width, columns),
        recurrent_kernel=weights(units, columns),
        bias=bias if cell == "gru" else bias[0], activation=activation,
        recurrent_activation="linear" if cell == "simple_rnn" else "sigmoid",
        reset_after=cell == "gru",
    )  # fmt: skip


def _session(layer: RecurrentLayer, lowering: str) -> Any:
    kinds = [("x", ir.DataType.FLOAT, ["batch", "time", layer.width])]
    kinds += [("mask", ir.DataType.BOOL, ["batch", "time"])] if layer.masked else []
    inputs = [ir.Value(name=n, type=ir.TensorType(t), shape=ir.Shape(s)) for n, t, s in kinds]
    lowered = lower_call((layer,), {layer.name: lowering}, inputs, {})
    (output,) = lowered.outputs
    output.type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        inputs=inputs,
        outputs=[output],
        nodes=[node for ops in lowered.written for node in ops.nodes],
        initializers=[value for ops in lowered.written for value in ops.initializers],
        opset_imports={"": 17},
        name="layer",
    )
    graph.sort()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    content = ir.to_proto(ir.Model(graph, ir_version=8)).SerializeToString()
    return onnxruntime.InferenceSession(content, options)


def _size(row: dict[str, Any]) -> CallSize:
    return CallSize(GATES[row["cell"]], row["units"], row["width"], row["batch"], row["time"])


def _report(kind: tuple[str, str, int], rows: list[dict[str, Any]]) -> None:
    guesses = []
    for name in LOWERINGS:
        table = np.array([features(name, _size(row)) for row in rows])
        taken = np.array([row[name] for row in rows])
        found, _ = nnls(table / taken[:, None], np.ones(len(rows)))
        guesses.append(table @ found)
        off = np.abs(guesses[-1] / taken - 1)
        said = ", ".join(f"{value:.3g}" for value in found)
        key = f'("{kind[0]}", "{kind[1]}", {bool(kind[2])}, "{name}")'
        data(f"    {key}: ({said}),  # off by {np.median(off):.0%}, {off.max():.0%}")
    guess = np.array(guesses)
    taken = np.array([[row[name] for row in rows] for name in LOWERINGS])
    chosen = taken[guess.argmin(0), np.arange(len(rows))]
    lost = chosen / taken.min(0)
    data(f"# {kind}: right at {np.mean(lost == 1):.0%} of {len(rows)} sizes, slower by at most"
         f" {lost.max():.2f}, by {np.exp(np.log(lost).mean()):.3f} on average;"
         f" native always: at most {(taken[0] / taken.min(0)).max():.2f},"
         f" {np.exp(np.log(taken[0] / taken.min(0)).mean()):.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
