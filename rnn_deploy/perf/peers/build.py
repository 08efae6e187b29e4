"""The peers by name: each writes its own export of a model and says how it is run.

tf2onnx        tf2onnx's conversion of the model's tf.function, on ONNX Runtime
keras-export   Keras' own model.export(format="onnx"), on ONNX Runtime
tensorflow     the tf.function itself
openvino       OpenVINO's own conversion of the TensorFlow graph, in float32
litert-stock   TensorFlow's TFLite converter: builtin operators only, batch and time fixed, which is
               the one form of a recurrent model that it can write so; one file for each shape
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
    """What a builder gets: the model, an empty folder of its own, the shapes, the threads."""

    model: PeerModel
    folder: Path
    shapes: Sequence[Shape]
    threads: int | None


@dataclass(frozen=True)
class UnavailablePeer:
    """A peer that cannot be measured, and why."""

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
    """Let peers export `model` below `folder`: what to measure, and who could not and why."""
    contenders: list[Contender] = []
    left_out: list[UnavailablePeer] = []
    for name in names:
        progress(f"exporting with {name}")
        own = folder / name
        own.mkdir()
        try:
            with _quiet():
                contenders += PEERS[name](PeerRequest(model, own, shapes, threads))
        except Exception as error:  # whatever stops a peer is its own affair, and worth a line
            left_out.append(UnavailablePeer(name, one_line(error) or type(error).__name__))
    return contenders, left_out


def check_peers(names: Sequence[str]) -> None:
    """InputError for a peer that there is not."""
    for name in names:
        if name not in PEERS:
            raise InputError(f"--against {name}: there is no such peer, only {', '.join(PEERS)}")


def _tf2onnx(order: PeerRequest) -> list[Contender]:
    place, model = order.folder / "model.onnx", order.model
    require("tf2onnx").convert.from_function(
        model.function(), model.signature(), opset=17, output_path=str(place)
    )
    return [Contender("tf2onnx", "onnx", str(place), threads=order.threads)]


def _keras_export(order: PeerRequest) -> list[Contender]:
    place = order.folder / "model.onnx"
    order.model.model.export(str(place), format="onnx", verbose=False)
    return [Contender("keras-export", "onnx", str(place), threads=order.threads)]


def _tensorflow(order: PeerRequest) -> list[Contender]:
    _save(order)
    return [Contender("tensorflow", "tensorflow", str(order.folder), threads=order.threads)]


def _openvino(order: PeerRequest) -> list[Contender]:
    openvino = require("openvino")
    place = order.folder / "model.xml"
    _save(order)
    converted = openvino.convert_model(str(order.folder))
    openvino.save_model(converted, str(place), compress_to_fp16=False)
    return [Contender("openvino", "openvino", str(place), threads=order.threads)]


def _litert_stock(order: PeerRequest) -> list[Contender]:
    return [_litert_at(order, shape) for shape in order.shapes]


def _litert_at(order: PeerRequest, shape: Shape) -> Contender:
    place = order.folder / f"{shape}.tflite"
    # As constants: left as variables they convert, and then the interpreter finds none.
    frozen = convert_variables_to_constants(order.model.function(shape).get_concrete_function())
    signature = order.model.signature(shape)
    called = tf.function(lambda *tensors: frozen(*tensors), signature, autograph=False)
    graph = called.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], tf.Module())
    place.write_bytes(converter.convert())
    return Contender("litert-stock", "tflite", str(place), threads=order.threads, only=shape)


PEERS: dict[str, Callable[[PeerRequest], list[Contender]]] = {
    "tf2onnx": _tf2onnx,
    "keras-export": _keras_export,
    "tensorflow": _tensorflow,
    "openvino": _openvino,
    "litert-stock": _litert_stock,
}


def _save(order: PeerRequest) -> None:
    module = tf.Module()
    module.model, module.run = order.model.model, order.model.function()
    tf.saved_model.save(module, str(order.folder), signatures=module.run)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converters log and warn about; what stops them is raised."""
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
