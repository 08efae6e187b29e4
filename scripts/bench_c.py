"""One step at batch 1: the C target beside ONNX Runtime, all taking turns in one process.

    scripts/bench c [sequences | UNITS ...]

For each cell with 16 inputs: how many times as fast as ONNX Runtime's C API a `model_step` is, by
how it was compiled; the slowest build against the native one; and the time of `Stream.step` on `c`
as a part of that of `InferenceSession.run`. Then whole sequences at batch 1: how many times as fast
`model_run` is as ONNX Runtime with each form of the layer. Needs gcc; builds of clang are measured
where it is. `scripts/bench c sequences` measures the sequences alone.
"""

import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

import rnn_deploy
from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.cli.console import progress, table, without_native_log_lines
from rnn_deploy.perf.bench.measure import measure, ratio
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.compiler import FLAGS
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.spec import STEP, STREAM

CELLS, UNITS, WIDTH = ("SimpleRNN", "GRU", "LSTM"), (16, 32, 64, 128, 256), 16
BUILDS = {
    "native": ("gcc", *FLAGS),
    "gcc -O3 v3": ("gcc", "-std=c99", "-O3", "-march=x86-64-v3"),
    "gcc -O3": ("gcc", "-std=c99", "-O3"),
    "gcc -O2": ("gcc", "-std=c99", "-O2"),
    "clang native": ("clang", *FLAGS),
    "clang -O2": ("clang", "-std=c99", "-O2"),
}
FORMS = ("native", "scan")
SEQUENCES = ((100, 64, 256), (1000, 16, 64))  # steps, inputs, units
HERE = Path(__file__).parent


def main() -> int:
    """Measure and print."""
    if sys.argv[1:] != ["sequences"]:
        _steps(tuple(map(int, sys.argv[1:])) or UNITS)
    _sequences()
    return 0


def _steps(units: tuple[int, ...]) -> None:
    builds = {name: words for name, words in BUILDS.items() if shutil.which(words[0])}
    rows = []
    with tempfile.TemporaryDirectory() as folder, progress() as step:
        driver = Path(folder) / "driver"
        source = str(HERE / "bench_c.c")
        subprocess.run(["gcc", "-O2", "-o", driver, source, "-ldl"], check=True)
        for cell in CELLS:
            for size in units:
                step(f"{cell} {size}")
                rows.append(_row(cell, size, Path(folder), driver, builds))
    columns = ("layer", ">C API, ns", *(f">{name}" for name in builds), ">slowest", ">Stream.step")
    table("times as fast as ONNX Runtime's C API", columns, rows)


def _sequences() -> None:
    """Measure whole sequences at batch 1, both runtimes through Python and in one thread."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, progress() as step:
        for cell in CELLS:
            for shape in SEQUENCES:
                step(f"{cell} {shape}")
                rows.append(_sequence(cell, shape, Path(folder)))
    columns = ("layer", "steps, inputs, units", *(f">{form}" for form in FORMS), ">the faster")
    table("model_run: times as fast as ONNX Runtime", columns, rows)


def _sequence(cell: str, shape: tuple[int, int, int], folder: Path) -> tuple[str, ...]:
    steps, width, units = shape
    x = np.random.default_rng(0).standard_normal((1, steps, width)).astype(np.float32)
    calls = {}
    for form in FORMS:
        bundle = _exported(cell, units, folder / f"{form}{cell}{units}", width, form)
        options = RunOptions(threads=1)
        session = runtime_named("ort-cpu").load(bundle, options)
        calls[form] = partial(session.run, {"x": x})
        calls["c"] = partial(runtime_named("c").load(bundle, options).run, {"x": x})
    timings = measure(calls, seconds=2.0)
    ratios = [ratio(timings[form], timings["c"]) for form in FORMS]
    return (cell, str(shape), *(f"{value:.2f}" for value in (*ratios, min(ratios))))


def _row(
    cell: str, units: int, folder: Path, driver: Path, builds: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    bundle = _exported(cell, units, folder / f"{cell}{units}")
    entry = bundle.manifest.entry(STREAM)
    names = [",".join(t.name for t in tensors) for tensors in (entry.all_inputs, entry.all_outputs)]
    found = bundle.manifest.artifact("onnx", STEP) or bundle.manifest.artifact("onnx", STREAM)
    assert found is not None
    model = bundle.root / found.path
    libraries = [_library(bundle.root / "c", index, words) for index, words in
                 enumerate(builds.values())]  # fmt: skip
    words = [driver, _ort_library(), model, str(WIDTH), str(units), *names, *libraries]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    ort, *own = map(float, done.stdout.split())
    stream = _stream_part(bundle, model)
    return (
        f"{cell} {units}", f"{ort:,.0f}", *(f"{ort / ns:.1f}" for ns in own),
        f"{max(own) / own[0]:.1f}", f"{stream:.2f}",
    )  # fmt: skip


def _exported(cell: str, units: int, place: Path, width: int = WIDTH, form: str = "auto") -> Bundle:
    from rnn_deploy.keras.tensorflow import keras

    x = keras.Input((None, width), name="x")
    layer = getattr(keras.layers, cell)(units, return_sequences=True, name="rnn")
    rnn_deploy.export(keras.Model(x, layer(x)), place, to=("onnx", "c"), long=0, lowering=form)
    return open_bundle(place)


def _library(folder: Path, index: int, words: tuple[str, ...]) -> Path:
    place = folder / f"{index}.so"
    sources = [folder / name for name in ("model.c", "model_weights.c")]
    library = ("-DNDEBUG", "-shared", "-fPIC", "-o", place)
    subprocess.run([*words, *library, *sources, "-lm"], check=True)
    return place


def _ort_library() -> Path:
    folder = Path(onnxruntime.__file__).parent / "capi"
    return next(iter(sorted(folder.glob("libonnxruntime.so*"))))


def _stream_part(bundle: Bundle, model: Path) -> float:
    """The time of Stream.step on c as a part of that of InferenceSession.run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])
    feeds = {
        value.name: np.zeros([d if isinstance(d, int) else 1 for d in value.shape], np.float32)
        for value in session.get_inputs()
    }
    x = np.ones((1, 1, WIDTH), np.float32)
    stream = rnn_deploy.load(bundle.root, "c").stream()
    calls = {"session": partial(session.run, None, feeds), "stream": partial(stream.step, x)}
    timings = measure(calls, seconds=0.5)
    return timings["stream"].median_us / timings["session"].median_us


if __name__ == "__main__":
    with without_native_log_lines():
        code = main()
    sys.exit(code)
