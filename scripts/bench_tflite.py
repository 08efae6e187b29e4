"""TFLite's lowerings beside the stock converter's output and Keras' unroll=True, in one run.

    convert    every form of every shape into a folder, where there is none yet
    measure    what lies there, form beside form; the figures go there, too
    table      the figures as Markdown, for docs/internals/tflite.md

limits    what no form can outrun, see tflite_limit
latency   one interpreter each on one thread, in turns; the least of the medians of all rounds
file      ours with all its signatures; theirs with the one that they have
held      what is allocated between calls, beyond what was before the file was loaded
peak      the most that the process grew by; the file itself is mapped
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tflite_limit import LIMITS, input_of, limit, turns_of

from rnn_deploy.cli.console import data, progress, table, without_native_log_lines
from rnn_deploy.exporting.plan import plan_of, with_chunks
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.keras.tensorflow import keras, tf
from rnn_deploy.optional import require
from rnn_deploy.spec import RecurrentLayer, Support
from rnn_deploy.tflite import writer as tflite
from rnn_deploy.tflite.format import DYNAMIC, FLOAT16, request_from
from rnn_deploy.tflite.quantise.quantise import quantised

Shape = tuple[int, ...]
# (batch, steps, width, units)
GATED = (
    (1, 50, 32, 64),
    (1, 100, 64, 256),
    (32, 100, 64, 256),
    (64, 50, 128, 512),
    (1, 1000, 16, 64),
)
SHAPES = {
    "SimpleRNN": ((1, 5, 4, 2), *GATED, (8, 1000, 32, 128)),
    "GRU": GATED,
    "LSTM": GATED,
}
ROUNDS, SECONDS = 9, 0.1  # for each contender in each round
STOCK, KERAS = "stock", "Keras unroll"
OPEN, FIXED, UNROLLED, FUSED = "time open", "time fixed", "unrolled", "fused"
QUANTISED = {f"{OPEN}, {mode}": mode for mode in (FLOAT16, DYNAMIC)}
FORMS = (OPEN, FIXED, UNROLLED, FUSED, *QUANTISED, KERAS, STOCK)
LONGEST_UNROLLED = 100
# Freed memory goes back at once, so that the peak is what was in use.
MEMORY_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 17)}
MEMORY = """
import ctypes, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
class Heap(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Heap
def held():
    heap = libc.mallinfo2()
    return heap.uordblks + heap.hblkhd
def resident(name):
    lines = open("/proc/self/status")
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
x = np.load(sys.argv[2])
warm = Interpreter(sys.argv[3], num_threads=1)
warm.allocate_tensors()
warm.invoke()
before, size = held(), resident("VmRSS")
interpreter = Interpreter(sys.argv[1], num_threads=1)
index = interpreter.get_input_details()[0]["index"]
interpreter.resize_tensor_input(index, x.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(index, x)
for _ in range(3):
    interpreter.invoke()
print(held() - before, resident("VmHWM") - size)
"""


@dataclass(frozen=True)
class Figures:
    """What was measured of one file; the error is beside the stock converter's."""

    microseconds: float
    file: int
    held: int
    peak: int
    error: float


def main() -> int:
    """Convert or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("convert", "measure", "table"))
    parser.add_argument("folder", type=Path, help="where the files are")
    parser.add_argument("--cell", action="append", choices=tuple(SHAPES), help="by default all")
    parser.add_argument("--shape", action="append", help="NxTxDxH; by default a grid")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = [tuple(map(int, s.split("x"))) for s in options.shape or ()]
    grid = [(cell, s) for cell in options.cell or SHAPES for s in wanted or SHAPES[cell]]
    if options.what == "table":
        for cell, shape in grid:
            data(_markdown(cell, shape, *_kept(options.folder, cell, shape)))
        return 0
    with progress() as step:
        for cell, shape in grid:
            work = _convert if options.what == "convert" else _measure
            work(cell, shape, options.folder, step)
    if options.what == "measure":
        for cell, shape in grid:
            _show(cell, shape, *_kept(options.folder, cell, shape))
    return 0


def _place(folder: Path, cell: str, shape: Shape, form: str) -> Path:
    name = "_".join([cell, "x".join(map(str, shape)), *form.replace(",", "").split()])
    return folder / f"{name}.tflite"


def _convert(cell: str, shape: Shape, folder: Path, step: Callable[[str], None]) -> None:
    for form in FORMS:
        place = _place(folder, cell, shape, form)
        if _takes(form, cell, shape) and not place.exists():
            step(f"{cell} {shape}: {form}")
            place.write_bytes(_made(form, cell, shape))
    for what, k in _limits(shape):
        place = _place(folder, cell, shape, f"{what} {k}")
        if not place.exists():
            step(f"{cell} {shape}: {what}, {k} steps a turn")
            place.write_bytes(limit(what, cell, shape, k))


def _limits(shape: Shape) -> list[tuple[str, int]]:
    return [(what, k) for what in LIMITS for k in turns_of(shape[1])]


def _takes(form: str, cell: str, shape: Shape) -> bool:
    if form in (UNROLLED, KERAS):
        return shape[1] <= LONGEST_UNROLLED
    return form != FUSED or cell != "GRU"


def _made(form: str, cell: str, shape: Shape) -> bytes:
    batch, steps, width, units = shape
    if form in (STOCK, KERAS):
        model = _model(cell, steps, width, units, unroll=form == KERAS)
        return _stock(model, (batch, steps, width))
    if form in QUANTISED:
        return _quantised(_model(cell, None, width, units), QUANTISED[form])
    lowering = form if form in (UNROLLED, FUSED) else "auto"
    length = steps if form in (FIXED, UNROLLED) else None
    return _ours(_model(cell, length, width, units), lowering)


def _measure(cell: str, shape: Shape, folder: Path, step: Callable[[str], None]) -> None:
    step(f"{cell} {shape}")
    x = np.random.default_rng(1).standard_normal(shape[:3]).astype(np.float32)
    np.save(folder / "x.npy", x)
    places = {form: _place(folder, cell, shape, form) for form in FORMS}
    places = {form: place for form, place in places.items() if place.exists()}
    calls = {form: _Call(place.read_bytes(), x) for form, place in places.items()}
    expected = calls[STOCK].output()
    errors = {form: float(np.abs(call.output() - expected).max()) for form, call in calls.items()}
    limits = {each: _limit_call(*each, cell, shape, folder) for each in _limits(shape)}
    latencies = _latencies(calls | limits)
    found = {
        form: Figures(latencies[form], place.stat().st_size, *_memory(place, folder), errors[form])
        for form, place in places.items()
    }
    least = {what: min(latencies[each] for each in limits if each[0] == what) for what in LIMITS}
    forms = {form: asdict(figures) for form, figures in found.items()}
    text = json.dumps({"forms": forms, "limits": least}, indent=1)
    _figures(folder, cell, shape).write_text(text)


def _limit_call(what: str, k: int, cell: str, shape: Shape, folder: Path) -> "_Call":
    given = np.random.default_rng(1).standard_normal(input_of(what, shape)).astype(np.float32)
    return _Call(_place(folder, cell, shape, f"{what} {k}").read_bytes(), given)


def _figures(folder: Path, cell: str, shape: Shape) -> Path:
    return _place(folder, cell, shape, "figures").with_suffix(".json")


def _kept(folder: Path, cell: str, shape: Shape) -> tuple[dict[str, Figures], dict[str, float]]:
    """What was measured of the forms, and the microseconds of the limits."""
    kept = json.loads(_figures(folder, cell, shape).read_text())
    return {form: Figures(**figures) for form, figures in kept["forms"].items()}, kept["limits"]


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
    return tflite.convert(model, tflite.parts_of(plan, request_from(options)))


def _quantised(model: Any, mode: str) -> bytes:
    layers = plan_of(model, ExportOptions(to=("tflite",))).sequence.trace.layers
    kernels = [layer.recurrent_kernel for layer in layers if isinstance(layer, RecurrentLayer)]
    return quantised(_ours(model, "auto"), mode, {}, kernels=kernels, model="bench").content


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


def _latencies(calls: Mapping[Any, Callable[[], object]]) -> dict[Any, float]:
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


def _memory(place: Path, folder: Path) -> tuple[int, int]:
    """Bytes held and at the peak, in a process that another model has warmed up."""
    warm = folder / "warm.tflite"
    if not warm.exists():
        warm.write_bytes(_ours(_model("SimpleRNN", 5, 4, 2), "auto"))
    command = [sys.executable, "-c", MEMORY, *map(str, (place, folder / "x.npy", warm))]
    environment = os.environ | MEMORY_SETTINGS
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    held, peak = map(int, done.stdout.split())
    return held, peak


def _show(
    cell: str, shape: Shape, forms: Mapping[str, Figures], limits: Mapping[str, float]
) -> None:
    columns = (
        "form", ">us", ">times as fast as stock", ">of Keras unroll", ">file, bytes",
        ">times smaller", ">held, MiB", ">peak, MiB", ">held, of unroll", ">peak, of unroll",
        ">error",
    )  # fmt: skip
    table(
        f"{cell}, (batch, steps, width, units) = {shape}",
        columns,
        [
            *((form, *_row(forms, figures)) for form, figures in forms.items()),
            *_limit_rows(forms[STOCK], limits, len(columns)),
        ],
    )


def _limit_rows(
    stock: Figures, limits: Mapping[str, float], columns: int
) -> Iterator[tuple[str, ...]]:
    for what, us in limits.items():
        yield what, f"{us:,.1f}", f"{stock.microseconds / us:.1f}", *[""] * (columns - 3)


def _markdown(
    cell: str, shape: Shape, forms: Mapping[str, Figures], limits: Mapping[str, float]
) -> str:
    """Return a row of docs/internals/tflite.md for the forms that `auto` takes, as ratios."""
    ours, stock, theirs = forms[OPEN], forms[STOCK], forms.get(KERAS)

    def of(mine: Figures, other: Figures | None, what: str) -> str:
        return "-" if other is None else f"{getattr(mine, what) / getattr(other, what):.2f}"

    unrolled = forms.get(UNROLLED)
    figures = (
        f"{ours.microseconds:,.0f}",
        *(f"{stock.microseconds / forms[form].microseconds:.1f}" for form in (OPEN, FIXED)),
        *(f"{stock.microseconds / limits[what]:.1f}" for what in LIMITS),
        *(of(forms[form], theirs, "microseconds") for form in (OPEN, FIXED)),
        "-" if unrolled is None else of(unrolled, theirs, "microseconds"),
        *(of(ours, theirs, what) for what in ("held", "peak")),
        f"{stock.file / ours.file:.1f}",
        *(of(forms[form], ours, "microseconds") for form in QUANTISED),
        *(of(forms[form], ours, "file") for form in QUANTISED),
    )
    return f"| {cell} {','.join(map(str, shape))} | {' | '.join(figures)} |"


def _row(forms: Mapping[str, Figures], f: Figures) -> Iterator[str]:
    stock, theirs = forms[STOCK], forms.get(KERAS)

    def of(mine: float, other: float | None) -> str:
        return "" if other is None else f"{mine / other:.2f}"

    yield f"{f.microseconds:,.1f}"
    yield f"{stock.microseconds / f.microseconds:.1f}"
    yield of(f.microseconds, theirs and theirs.microseconds)
    yield f"{f.file:,}"
    yield f"{stock.file / f.file:.1f}"
    yield f"{f.held / 2**20:.1f}"
    yield f"{f.peak / 2**20:.1f}"
    yield of(f.held, theirs and theirs.held)
    yield of(f.peak, theirs and theirs.peak)
    yield f"{f.error:.1e}"


if __name__ == "__main__":
    with without_native_log_lines():
        code = main()
    sys.exit(code)
