"""Load and call each kind of contender: from feeds by name to outputs in order.

A bundle runs through our runners with all their checks, a peer's file directly in its runtime. A
peer's input is found by name, or by position if the peer has renamed it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnn_deploy.bundle import open_bundle
from rnn_deploy.optional import require
from rnn_deploy.perf.bench.contender import Contender
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.spec import Array

Feeds = Mapping[str, Array]
Call = Callable[[], Sequence[Array]]
# Takes the feeds, and returns the call to measure.
Opened = Callable[[Feeds], Call]


def open_contender(contender: Contender) -> Opened:
    """Load a contender."""
    return OPENERS[contender.kind](contender)


def _bundle(contender: Contender) -> Opened:
    bundle = open_bundle(contender.path)
    options = RunOptions(contender.entry, contender.threads, session=contender.session)
    runner = runtime_named(contender.runtime).load(bundle, options)
    names = [tensor.name for tensor in runner.entry.outputs]

    def given(feeds: Feeds) -> Call:
        def call() -> Sequence[Array]:
            results = runner.run(feeds)
            return [results[name] for name in names]

        return call

    return given


def _onnx(contender: Contender) -> Opened:
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = contender.threads or 0
    session = onnxruntime.InferenceSession(
        contender.path, options, providers=["CPUExecutionProvider"]
    )
    names = [tensor.name for tensor in session.get_inputs()]

    def given(feeds: Feeds) -> Call:
        named = renamed(feeds, names)
        return lambda: session.run(None, named)

    return given


def _openvino(contender: Contender) -> Opened:
    threads = {} if contender.threads is None else {"INFERENCE_NUM_THREADS": contender.threads}
    compiled = require("openvino").compile_model(
        contender.path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **threads}
    )
    request, ports = compiled.create_infer_request(), range(len(compiled.outputs))
    names = [port.get_any_name() for port in compiled.inputs]

    def given(feeds: Feeds) -> Call:
        named = renamed(feeds, names)

        def call() -> Sequence[Array]:
            request.infer(named)
            return [request.get_output_tensor(port).data.copy() for port in ports]

        return call

    return given


def _tflite(contender: Contender) -> Opened:
    litert = require("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_path=contender.path, num_threads=contender.threads)
    runner = interpreter.get_signature_runner()
    names = list(runner.get_input_details())
    outputs = sorted(runner.get_output_details())  # output_0, output_1, ...

    def given(feeds: Feeds) -> Call:
        named = renamed(feeds, names)

        def call() -> Sequence[Array]:
            results = runner(**named)
            return [results[name] for name in outputs]

        return call

    return given


def _tensorflow(contender: Contender) -> Opened:
    tf = require("tensorflow")
    tf.config.set_visible_devices([], "GPU")
    if contender.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(contender.threads)
    loaded = tf.saved_model.load(contender.path)

    def given(feeds: Feeds) -> Call:
        arrays = list(feeds.values())

        def call() -> Sequence[Array]:
            return [output.numpy() for output in loaded.run(*map(tf.constant, arrays))]

        call.kept = loaded  # type: ignore[attr-defined]  # keep it: it owns the variables
        return call

    return given


def _keras_predict(contender: Contender) -> Opened:
    tf, keras = require("tensorflow"), require("keras")
    tf.config.set_visible_devices([], "GPU")
    if contender.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(contender.threads)
    model = keras.models.load_model(contender.path, compile=False)

    def given(feeds: Feeds) -> Call:
        arrays = list(feeds.values())
        inputs = arrays if len(arrays) > 1 else arrays[0]

        def call() -> Sequence[Array]:
            outputs = model.predict(inputs, batch_size=len(arrays[0]), verbose=0)
            flat: list[Array] = keras.tree.flatten(outputs)
            return flat

        return call

    return given


OPENERS: dict[str, Callable[[Contender], Opened]] = {
    "bundle": _bundle,
    "onnx": _onnx,
    "openvino": _openvino,
    "tflite": _tflite,
    "tensorflow": _tensorflow,
    "keras-predict": _keras_predict,
}


def renamed(feeds: Feeds, names: Sequence[Any]) -> dict[str, Array]:
    """Return the feeds by a peer's names: by name if it kept them, else by position."""
    if set(names) == set(feeds):
        return dict(feeds)
    return dict(zip(names, feeds.values(), strict=True))
