"""What rnn-deploy costs beside the bare thing, in one run, the two taking turns.

run      `rnn-deploy run` against a bare Python process that imports onnxruntime and numpy
         and runs the same model, wall time of the whole process
runner   Runner.run against InferenceSession.run, per call at batch 1
stream   Stream.step against InferenceSession.run of the same step.onnx, state fed back by hand
many     one StreamBatch.step_all of 64 streams against 64 such calls, 128 units
export   rnn_deploy.export against Keras' own model.export(format="onnx"), in one process
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import data, say, table, without_native_log_lines
from rnn_deploy.perf.bench.measure import LONG_TURNS, in_rounds, measure, ratio, timed
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named

BARE = """
import sys
import numpy as np
import onnxruntime
x = np.load(sys.argv[2])["letters"]
session = onnxruntime.InferenceSession(sys.argv[1] + "/sequence.onnx")
np.savez(sys.argv[3], next_letter=session.run(["next_letter"], {"letters": x})[0])
"""
PROCESSES, EXPORTS, STREAMS = 15, 9, 64
CELLS = ("SimpleRNN", "GRU", "LSTM")


def main() -> int:
    """Measure and print the three comparisons."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = _model()
        say("measuring export ...")
        rows = [_export_row(model, root)]
        bundle = rnn_deploy.export(model, root / "bundle")
        np.savez(root / "x.npz", letters=_x())
        say("measuring whole processes ...")
        rows.insert(0, _run_row(root))
        say("measuring single calls ...")
        rows.insert(1, _runner_row(str(bundle.root)))
        rows[2:2] = [row for cell in CELLS for row in _stream_rows(root, cell)]
    table(
        f"rnn-deploy beside the bare thing ({platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()})",
        ("what", ">rnn-deploy", ">bare", ">ratio or difference", "promised"),
        rows,
    )
    data("each pair took turns in one run; medians")
    return 0


def _model() -> "object":
    from rnn_deploy.keras.tensorflow import keras

    letters = keras.Input((None, 4), name="letters")
    hidden = keras.layers.SimpleRNN(8, return_sequences=True, name="rnn")(letters)
    outputs = keras.layers.Dense(4, activation="softmax", name="next_letter")(hidden)
    return keras.Model(letters, outputs, name="hello")


def _wide_model(cell: str) -> "object":
    from rnn_deploy.keras.tensorflow import keras

    x = keras.Input((None, 64), name="x")
    return keras.Model(x, getattr(keras.layers, cell)(128, return_sequences=True, name="rnn")(x))


def _x() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal((1, 5, 4)).astype(np.float32)


def _export_row(model: object, root: Path) -> tuple[str, ...]:
    def ours() -> None:
        rnn_deploy.export(model, root / "ours", to=("onnx",), force=True)

    def theirs() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.export(root / "theirs.onnx", format="onnx", verbose=False)  # type: ignore[attr-defined]

    a, b = _medians(ours, theirs, EXPORTS)
    return ("export to ONNX, golden vectors included", f"{a * 1e3:.0f} ms", f"{b * 1e3:.0f} ms",
            f"{a / b:.2f}", "<= 1")  # fmt: skip


def _run_row(root: Path) -> tuple[str, ...]:
    paths = [str(root / "bundle"), str(root / "x.npz"), str(root / "y.npz")]
    command = [str(Path(sys.executable).with_name("rnn-deploy")), "run", paths[0], "--inputs",
               paths[1], "-o", paths[2], "--force", "--runtime", "ort-cpu"]  # fmt: skip
    bare = [sys.executable, "-c", BARE, *paths]
    run = partial(subprocess.run, check=True, capture_output=True)
    a, b = _medians(partial(run, command), partial(run, bare), PROCESSES)
    return ("rnn-deploy run, whole process", f"{a * 1e3:.0f} ms", f"{b * 1e3:.0f} ms",
            f"{a / b:.2f}", "<= 1.5")  # fmt: skip


def _runner_row(bundle: str) -> tuple[str, ...]:
    import onnxruntime

    session = onnxruntime.InferenceSession(f"{bundle}/sequence.onnx")
    runner = runtime_named("ort-cpu").load(open_bundle(bundle), RunOptions())
    feeds = {"letters": _x()}
    timings = measure(
        {
            "ours": lambda: runner.run(feeds),
            "bare": lambda: session.run(["next_letter"], feeds),
        },
        seconds=2.0,
    )
    a, b = timings["ours"].median_us, timings["bare"].median_us
    return ("Runner.run at batch 1, one call", f"{a:.1f} us", f"{b:.1f} us", f"+{a - b:.1f} us",
            "<= +10 us")  # fmt: skip


def _stream_rows(root: Path, cell: str) -> list[tuple[str, ...]]:
    import onnxruntime

    bundle = rnn_deploy.export(_wide_model(cell), root / cell, to=("onnx",), long=0)
    session = onnxruntime.InferenceSession(f"{bundle.root}/step.onnx")
    loaded = rnn_deploy.load(bundle, "ort-cpu")
    stream, batch = loaded.stream(), loaded.stream_batch()
    state = stream.state
    x = np.random.default_rng(0).standard_normal((STREAMS, 1, 64)).astype(np.float32)
    names = [tensor.name for tensor in loaded.runner("stream").entry.all_outputs]

    def bare() -> None:
        session.run(names, {"x": x[:1], **state})

    def bare_each() -> None:
        for row in range(STREAMS):
            session.run(names, {"x": x[row : row + 1], **state})

    for _ in range(STREAMS):
        batch.join()
    one = measure({"ours": lambda: stream.step(x[:1]), "bare": bare}, seconds=2.0)
    several = {"ours": timed(lambda: batch.step_all(x)), "bare": timed(bare_each)}
    many = in_rounds(several, seconds=1.0, turns=LONG_TURNS)
    return [
        (f"Stream.step, {cell} of 128 units", f"{one['ours'].median_us:.1f} us",
         f"{one['bare'].median_us:.1f} us", f"{ratio(one['ours'], one['bare']):.2f}", "<= 1.3"),
        (f"StreamBatch, 64 streams in one call, {cell}", f"{many['ours'].median_us:.0f} us",
         f"{many['bare'].median_us:.0f} us", f"{ratio(many['bare'], many['ours']):.1f} times",
         ">= 10 times"),
    ]  # fmt: skip


def _medians(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    ours(), theirs()
    for _ in range(rounds):
        for call, taken in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    with without_native_log_lines():
        code = main()
    sys.exit(code)
