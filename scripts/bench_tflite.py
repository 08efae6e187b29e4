"""TFLite's lowerings beside the stock converter's output and Keras' unroll=True, in one run.

latency   one interpreter each on one thread, in turns; the least of the medians of all rounds
file      ours with all its signatures; theirs with the one that they have
memory    what a process of its own grows by, at most, when it loads the file and runs it
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.cli.console import data, progress, table, without_chatter
from rnn_deploy.exporting import tflite
from rnn_deploy.exporting.options import ExportOptions
from rnn_deploy.exporting.plan import plan_of, with_chunks
from rnn_deploy.optional import require
from rnn_deploy.source.tensorflow import keras, tf
from rnn_deploy.spec import Support

# (batch, steps, width, units)
SHAPES = (
    (1, 5, 4, 2),
    (1, 50, 32, 64),
    (1, 100, 64, 256),
    (32, 100, 64, 256),
    (64, 50, 128, 512),
    (1, 1000, 16, 64),
    (8, 1000, 32, 128),
)
ROUNDS, SECONDS = 9, 0.15  # for each contender in each round
STOCK, KERAS = "stock", "Keras unroll"
LONGEST_UNROLLED = 100
MEMORY = """
import sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
x = np.load(sys.argv[2])
warm = Interpreter(sys.argv[3], num_threads=1)
warm.allocate_tensors()
warm.invoke()
before = kib("VmRSS")
interpreter = Interpreter(sys.argv[1], num_threads=1)
index = interpreter.get_input_details()[0]["index"]
interpreter.resize_tensor_input(index, x.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(index, x)
for _ in range(3):
    interpreter.invoke()
print(kib("VmHWM") - before)
"""


@dataclass(frozen=True)
class Figures:
    """What was measured of one file."""

    microseconds: float
    file: int
    memory: int
    error: float


def main() -> int:
    """Measure and print, ratios beside the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell", default="SimpleRNN", choices=("SimpleRNN", "GRU", "LSTM"))
    parser.add_argument("--shape", action="append", help="NxTxDxH; by default a grid")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    shapes = [tuple(map(int, s.split("x"))) for s in options.shape or ()] or SHAPES
    found = {}
    with progress() as step:
        for shape in shapes:
            found[shape] = _measured(options.cell, shape, step)
    if options.json:
        rows = [
            {"shape": shape, "form": name, **vars(figures)}
            for shape, forms in found.items()
            for name, figures in forms.items()
        ]
        data(json.dumps(rows, indent=1))
        return 0
    for shape, forms in found.items():
        _show(options.cell, shape, forms)
    return 0


def _measured(cell: str, shape: tuple[int, ...], step: Callable[[str], None]) -> dict[str, Figures]:
    x = np.random.default_rng(1).standard_normal(shape[:3]).astype(np.float32)
    step(f"{cell} {shape}: converting")
    files = _files(cell, shape)
    calls = {name: _Call(content, x) for name, content in files.items()}
    step(f"{cell} {shape}: measuring")
    expected = next(iter(calls.values())).output()
    errors = {n: float(np.abs(call.output() - expected).max()) for n, call in calls.items()}
    latencies = _latencies(calls)
    return {
        name: Figures(latencies[name], len(files[name]), _memory(files[name], x), errors[name])
        for name in files
    }


def _files(cell: str, shape: tuple[int, ...]) -> dict[str, bytes]:
    batch, steps, width, units = shape
    files = {
        "auto, time open": _ours(_model(cell, None, width, units), "auto"),
        "auto, time fixed": _ours(_model(cell, steps, width, units), "auto"),
        "loop, time fixed": _ours(_model(cell, steps, width, units), "loop"),
    }
    if steps <= LONGEST_UNROLLED:
        files["unrolled"] = _ours(_model(cell, steps, width, units), "unrolled")
        unrolled = _model(cell, steps, width, units, unroll=True)
        files[KERAS] = _stock(unrolled, (batch, steps, width))
    if cell != "GRU":
        files["fused"] = _ours(_model(cell, None, width, units), "fused")
    files[STOCK] = _stock(_model(cell, steps, width, units), (batch, steps, width))
    return files


def _model(cell: str, steps: int | None, width: int, units: int, **options: Any) -> Any:
    x = keras.Input((steps, width), name="x")
    layer = getattr(keras.layers, cell)(units, return_sequences=True, name="rnn", **options)
    model = keras.Model(x, layer(x), name="bench")
    rng = np.random.default_rng(0)
    scale = 0.5 / np.sqrt(units)
    for variable in model.trainable_variables:
        variable.assign(scale * rng.standard_normal(variable.shape))
    return model


def _ours(model: Any, lowering: str) -> bytes:
    options = ExportOptions(to=("tflite",), tflite_lowering=lowering)
    plan = with_chunks(plan_of(model, options), Support(True))
    return tflite.convert(model, tflite.parts_of(plan, options.tflite_wishes))


def _stock(model: Any, shape: tuple[int, ...]) -> bytes:
    """The only form that the stock converter turns into builtins: frozen, every size fixed."""
    kinds = (model.trainable_variables, model.non_trainable_variables)
    weights = [[tf.constant(variable.numpy()) for variable in kind] for kind in kinds]

    def call(x: Any) -> Any:
        return model.stateless_call(*weights, x, training=False)[0]

    spec = tf.TensorSpec(shape, tf.float32)
    concrete = tf.function(call, autograph=False).get_concrete_function(spec)
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


class _Call:
    """The main signature of a file, ready to be invoked over and over."""

    def __init__(self, content: bytes, x: "np.ndarray[Any, Any]") -> None:
        litert = require("ai_edge_litert.interpreter")
        self._interpreter = litert.Interpreter(model_content=content, num_threads=1)
        index = self._interpreter.get_input_details()[0]["index"]
        self._interpreter.resize_tensor_input(index, x.shape)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(index, x)
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self) -> None:
        self._interpreter.invoke()

    def output(self) -> "np.ndarray[Any, Any]":
        self()
        return np.asarray(self._interpreter.get_tensor(self._output))


def _latencies(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            taken: list[float] = []
            end = time.perf_counter() + SECONDS
            while time.perf_counter() < end or len(taken) < 3:
                start = time.perf_counter()
                call()
                taken.append(time.perf_counter() - start)
            least[name] = min(least[name], 1e6 * float(np.median(taken)))
    return least


def _memory(content: bytes, x: "np.ndarray[Any, Any]") -> int:
    """Bytes a process grows by; another model has warmed it up."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "model.tflite").write_bytes(content)
        (root / "warm.tflite").write_bytes(_ours(_model("SimpleRNN", 5, 4, 2), "auto"))
        np.save(root / "x.npy", x)
        paths = [str(root / name) for name in ("model.tflite", "x.npy", "warm.tflite")]
        command = [sys.executable, "-c", MEMORY, *paths]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return 1024 * int(done.stdout)


def _show(cell: str, shape: tuple[int, ...], forms: Mapping[str, Figures]) -> None:
    stock, theirs = forms[STOCK], forms.get(KERAS)
    rows = []
    for name, f in forms.items():
        us, memory = (
            f"{mine / other:.2f}" if theirs else ""
            for mine, other in (
                (f.microseconds, theirs.microseconds if theirs else 0),
                (f.memory, theirs.memory if theirs else 0),
            )
        )
        rows.append((
            name, f"{f.microseconds:,.1f}", f"{stock.microseconds / f.microseconds:.1f}", us,
            f"{f.file:,}", f"{stock.file / f.file:.1f}", f"{f.memory / 2**20:.1f}", memory,
        ))  # fmt: skip
    columns = (
        "form", ">us", ">times as fast as stock", ">of Keras unroll", ">file, bytes",
        ">times smaller", ">memory, MiB", ">of Keras unroll",
    )  # fmt: skip
    table(f"{cell}, (batch, steps, width, units) = {shape}", columns, rows)


if __name__ == "__main__":
    with without_chatter():
        code = main()
    sys.exit(code)
