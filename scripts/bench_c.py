"""One step at batch 1: the C target beside ONNX Runtime, all taking turns in one process.

    scripts/bench c [UNITS ...]

For each cell with 16 inputs: how many times as fast as ONNX Runtime's C API a `model_step` is, by
how it was compiled; the slowest build against the native one; and the time of `Stream.step` on `c`
as a part of that of `InferenceSession.run`. Needs gcc; builds of clang are measured where it is.
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
from rnn_deploy.perf.bench.measure import measure
from rnn_deploy.runtimes.compiler import FLAGS
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
HERE = Path(__file__).parent


def main() -> int:
    """Measure and print."""
    units = tuple(map(int, sys.argv[1:])) or UNITS
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
    return 0


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


def _exported(cell: str, units: int, place: Path) -> Bundle:
    from rnn_deploy.keras.tensorflow import keras

    x = keras.Input((None, WIDTH), name="x")
    layer = getattr(keras.layers, cell)(units, return_sequences=True, name="rnn")
    rnn_deploy.export(keras.Model(x, layer(x)), place, to=("onnx", "c"), long=0)
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
