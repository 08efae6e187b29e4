"""How cost grows with the number of steps and of sequences, to 10,000 steps.

    scripts/bench growth

A layer of 64 units and 64 inputs, each of the three cells, as `auto` exports it for the shape, on
`ort-cpu` and one thread, all sizes taking turns: microseconds per step and sequence. Where cost
grows linearly they stay the same along a row.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import progress, table, without_native_log_lines
from rnn_deploy.perf.bench.feeds import feeds_of
from rnn_deploy.perf.bench.measure import measure
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.spec.shapes import Shape

CELLS, UNITS = ("SimpleRNN", "GRU", "LSTM"), 64
IN_TIME = [Shape(1, time) for time in (10, 100, 1000, 10_000)]
IN_BATCH = [Shape(batch, 100) for batch in (1, 8, 32, 128, 512)]
LONG_BATCH = [Shape(8, time) for time in (10, 100, 1000, 10_000)]


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, progress() as step:
        rows = [_row(cell, shapes, Path(folder), step) for cell in CELLS for shapes in
                (IN_TIME, LONG_BATCH, IN_BATCH)]  # fmt: skip
    columns = ("cell", "microseconds per step and sequence at batch x time", ">most / least")
    table("how cost grows", columns, rows)
    return 0


def _row(cell: str, shapes: list[Shape], folder: Path, step: object) -> tuple[str, str, str]:
    from rnn_deploy.keras.tensorflow import keras

    x = keras.Input((None, UNITS), name="x")
    layer = getattr(keras.layers, cell)(UNITS, return_sequences=True, name="rnn")
    step(f"{cell}: {shapes[-1]}")  # type: ignore[operator]
    place = folder / f"{cell}-{shapes[-1]}"
    model = keras.Model(x, layer(x))
    rnn_deploy.export(model, place, to=("onnx",), expect=(str(shapes[-1]),), long=0)
    bundle = open_bundle(place)
    runner = runtime_named("ort-cpu").load(bundle, RunOptions(threads=1))
    calls = {str(s): partial(runner.run, feeds_of(runner.entry, s)) for s in shapes}
    timings = measure(calls, seconds=1.0)
    each = {str(s): timings[str(s)].median_us / s.batch / s.time for s in shapes}
    (choice,) = bundle.manifest.artifacts[0].choices
    told = ", ".join(f"{shape}: {us:.3g}" for shape, us in each.items())
    linear = list(each.values())[1:]  # what a call costs by itself counts in the shortest
    return f"{cell}, {choice.lowering}", told, f"{max(linear) / min(linear):.2f}"


if __name__ == "__main__":
    with without_native_log_lines():
        code = main()
    sys.exit(code)
