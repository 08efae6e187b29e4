"""Generation against the calls that it consists of, and against Keras: ratios of one run.

    python scripts/bench_generate.py

An LSTM encoder-decoder of 256 units with random weights, on ONNX Runtime, 50 steps. Every way is
measured in turn, several times; the table has the medians.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import table, without_native_log_lines

UNITS, TOKENS, STEPS, SOURCE = 256, 64, 50, 20
BATCH, BEAMS, ROUNDS = 64, 4, 7


def built() -> Any:
    """Return a training model: token ids, an LSTM encoder and decoder, a distribution."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    source, target = (keras.Input((None,), dtype="int32", name=n) for n in ("source", "target"))
    _, *states = layers.LSTM(UNITS, return_state=True, name="encoder")(
        layers.Embedding(TOKENS, 32)(source)
    )
    y = layers.LSTM(UNITS, return_sequences=True, name="decoder")(
        layers.Embedding(TOKENS, 32)(target), initial_state=states
    )
    return keras.Model([source, target], layers.Dense(TOKENS, activation="softmax")(y))


def medians(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each way, all ways measured in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measured(root: Path, model: Any) -> dict[str, float]:
    """Return the seconds of every way."""
    import onnxruntime

    session = onnxruntime.InferenceSession(root / "decode.onnx", providers=["CPUExecutionProvider"])
    loaded = rnn_deploy.load(root, "ort-cpu")
    sources = np.random.default_rng(0).integers(1, TOKENS, (BATCH, SOURCE)).astype(np.int32)
    inputs = [value.name for value in session.get_inputs()]
    zeros = [np.zeros((1, UNITS), np.float32)] * (len(inputs) - 1)
    feeds = dict(zip(inputs, [np.ones((1, 1), np.int32), *zeros], strict=True))

    def generate(rows: int, **options: Any) -> object:
        return loaded.generate(sources[:rows], start=1, max_steps=STEPS, **options)

    def with_keras() -> None:
        ids = np.ones((1, 1), np.int32)
        for _ in range(STEPS):
            y = model.predict([sources[:1], ids], verbose=0)
            best = y[:, -1].argmax(axis=-1).astype(np.int32)
            ids = np.concatenate([ids, best[:, None]], axis=1)

    found = medians({
        "session": lambda: [session.run(None, feeds) for _ in range(STEPS)],
        "greedy": lambda: generate(1),
        "batch": lambda: generate(BATCH),
        "one by one": lambda: [
            loaded.generate(sources[i : i + 1], start=1, max_steps=STEPS) for i in range(8)
        ],
        "four": lambda: generate(BEAMS),
        "beam": lambda: generate(1, strategy="beam", beams=BEAMS),
    })  # fmt: skip
    start = time.perf_counter()
    with_keras()
    return found | {"keras": time.perf_counter() - start}


def main() -> int:
    """Measure, and print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        model = built()
        bundle = rnn_deploy.export(model, Path(folder) / "b", to="onnx", long=0)
        t = measured(open_bundle(bundle.root).root, model)
    one_by_one = t["one by one"] * BATCH / 8
    rows = [
        ("greedy, in calls of the decode step", t["greedy"] / t["session"], "at most 1.5"),
        (f"batch of {BATCH}, sequences per second", one_by_one / t["batch"], "at least 10"),
        (f"{BEAMS} beams, in greedy at batch {BEAMS}", t["beam"] / t["four"], "at most 1.5"),
        ("Keras predict, in greedy", t["keras"] / t["greedy"], "above 50"),
    ]
    table(
        f"Generation of {STEPS} tokens, {UNITS} units, on ONNX Runtime",
        ("what", ">times", "expected"),
        [(name, f"{ratio:.2f}", expected) for name, ratio, expected in rows],
    )
    return 0


if __name__ == "__main__":
    with without_native_log_lines():
        sys.exit(main())
