"""The peers by name: each exports a model in its own way, and returns how to run it.

tf2onnx        tf2onnx's conversion of the model's tf.function, on ONNX Runtime
keras-export   Keras' own model.export(format="onnx"), on ONNX Runtime
keras-predict  model.predict, as users call it, in one batch
tensorflow     the tf.function itself
openvino       OpenVINO's own conversion of the TensorFlow graph, in float32
litert-stock   TensorFlow's TFLite converter with builtin operators only; for recurrent models it
               then needs a fixed batch and time, so there is one file for each shape
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rnn_deploy.errors import InputError, one_line
from rnn_deploy.keras.compat import convert_variables_to_constants
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.optional import require
from rnn_deploy.perf.bench.contender import Contender
from rnn_deploy.perf.peers.model import PeerModel
from rnn_deploy.spec.shapes import Shape

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PeerRequest:
    """The input of a peer: the model, an empty folder, the shapes, the threads."""

    model: PeerModel
    folder: Path
    shapes: Sequence[Shape]
    threads: int | None


@dataclass(frozen=True)
class UnavailablePeer:
    """A peer that cannot be measured, with the reason."""

    name: str
    reason: str


def build(
    names: Sequence[str],
    model: PeerModel,
    folder: Path,
    shapes: Sequence[Shape],
    threads: int | None = None,
    progress: Progress = lambda step: None,
) -> tuple[list[Contender], list[UnavailablePeer]]:
    """Let peers export `model` below `folder`; return contenders, and failed peers with reasons."""
    contenders: list[Contender] = []
    left_out: list[UnavailablePeer] = []
    for name in names:
        progress(f"exporting with {name}")
        own = folder / name
        own.mkdir()
        try:
            with _quiet():
                contenders += PEERS[name](PeerRequest(model, own, shapes, threads))
        except Exception as error:  # report any failure of a peer in one line, and continue
            left_out.append(UnavailablePeer(name, one_line(error) or type(error).__name__))
    return contenders, left_out


def check_peers(names: Sequence[str]) -> None:
    """Raise InputError for an unknown peer."""
    for name in names:
        if name not in PEERS:
            raise InputError(
                "E-BENCH-UNKNOWN-PEER", f"--against {name}: expected one of {', '.join(PEERS)}"
            )


def _tf2onnx(request: PeerRequest) -> list[Contender]:
    place, model = request.folder / "model.onnx", request.model
    require("tf2onnx").convert.from_function(
        model.function(), model.signature(), opset=17, output_path=str(place)
    )
    return [Contender("tf2onnx", "onnx", str(place), threads=request.threads)]


def _keras_export(request: PeerRequest) -> list[Contender]:
    place = request.folder / "model.onnx"
    request.model.model.export(str(place), format="onnx", verbose=False)
    return [Contender("keras-export", "onnx", str(place), threads=request.threads)]


def _keras_predict(request: PeerRequest) -> list[Contender]:
    place = request.folder / "model.keras"
    request.model.model.save(place)
    return [Contender("keras-predict", "keras-predict", str(place), threads=request.threads)]


def _tensorflow(request: PeerRequest) -> list[Contender]:
    _save(request)
    return [Contender("tensorflow", "tensorflow", str(request.folder), threads=request.threads)]


def _openvino(request: PeerRequest) -> list[Contender]:
    openvino = require("openvino")
    place = request.folder / "model.xml"
    _save(request)
    converted = openvino.convert_model(str(request.folder))
    openvino.save_model(converted, str(place), compress_to_fp16=False)
    return [Contender("openvino", "openvino", str(place), threads=request.threads)]


def _litert_stock(request: PeerRequest) -> list[Contender]:
    return [_litert_at(request, shape) for shape in request.shapes]


def _litert_at(request: PeerRequest, shape: Shape) -> Contender:
    place = request.folder / f"{shape}.tflite"
    # The interpreter does not find variables, so they become constants.
    frozen = convert_variables_to_constants(request.model.function(shape).get_concrete_function())
    signature = request.model.signature(shape)
    called = tf.function(lambda *tensors: frozen(*tensors), signature, autograph=False)
    graph = called.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], tf.Module())
    place.write_bytes(converter.convert())
    return Contender("litert-stock", "tflite", str(place), threads=request.threads, only=shape)


PEERS: dict[str, Callable[[PeerRequest], list[Contender]]] = {
    "tf2onnx": _tf2onnx,
    "keras-export": _keras_export,
    "keras-predict": _keras_predict,
    "tensorflow": _tensorflow,
    "openvino": _openvino,
    "litert-stock": _litert_stock,
}


def _save(request: PeerRequest) -> None:
    module = tf.Module()
    module.model, module.run = request.model.model, request.model.function()
    tf.saved_model.save(module, str(request.folder), signatures=module.run)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the log lines and warnings of the converters, but not their errors."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
