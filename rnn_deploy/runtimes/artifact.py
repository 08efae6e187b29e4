"""A model file without a bundle, from any exporter: .onnx on ONNX Runtime, .tflite on LiteRT.

The file itself describes its inputs and outputs; its open dimensions become symbols. It has no
named states and no manifest with its hash.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError, one_line
from rnn_deploy.optional import require
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.runtimes.external_data import refuse_external_outside
from rnn_deploy.runtimes.feeds import checker, refused_by
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

ONNX_DTYPES = {"float": "float32", "double": "float64"}
NUMBERS = {"bool", "float16", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


class ArtifactRunner:
    """A function from inputs to outputs by name, with checked inputs."""

    def __init__(self, entry: EntryPoint, answer: Callable[[dict[str, Array]], Any]) -> None:
        self.entry = entry
        self._answer = answer
        self._check = checker(entry)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output by name."""
        names = [tensor.name for tensor in self.entry.inputs]
        arrays = dict(zip(names, self._check(feeds), strict=True))
        try:
            results = self._answer(arrays)
        except Exception as error:  # the exceptions of both runtimes have no common base class
            raise refused_by(f"'{self.entry.name}'", error) from error
        return {tensor.name: results[tensor.name] for tensor in self.entry.outputs}

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def open_artifact(place: Path) -> Runner:
    """Load a model file by its ending; raise InputError if it is not a model file."""
    loader = LOADERS.get(place.suffix.lower())
    if loader is None:
        raise InputError(
            "E-DATA-ENDING", f"{place}: expected a file that ends in {' or '.join(LOADERS)}"
        )
    if not place.is_file():
        raise InputError("E-DATA-NOT-FOUND", f"{place}: no such file")
    return loader(place)


def _onnx(place: Path) -> Runner:
    ort = require("onnxruntime")
    refuse_external_outside(place)
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(place), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _not_loaded("ONNX Runtime", place, error) from error
    inputs, outputs = (
        tuple(_onnx_spec(value) for value in values)
        for values in (session.get_inputs(), session.get_outputs())
    )
    names = [tensor.name for tensor in outputs]

    def answer(feeds: dict[str, Array]) -> dict[str, Array]:
        return dict(zip(names, session.run(names, feeds), strict=True))

    return ArtifactRunner(EntryPoint(place.name, inputs, outputs), answer)


def _onnx_spec(value: Any) -> TensorSpec:
    given = value.type.removeprefix("tensor(").removesuffix(")")
    dtype = ONNX_DTYPES.get(given, given)
    if dtype not in NUMBERS:
        raise InputError(
            "E-DATA-TENSOR-TYPE",
            f"expected numbers in tensor '{value.name}', got {value.type}",
        )
    dims = tuple(
        dim
        if isinstance(dim, int) or (isinstance(dim, str) and dim)
        else f"{value.name}_axis{axis}"
        for axis, dim in enumerate(value.shape)
    )
    return TensorSpec(value.name, dims, dtype)


def _not_loaded(runtime: str, place: Path, error: Exception) -> InputError:
    return InputError("E-INPUT-MODEL-FILE", f"{runtime} did not load {place}: {one_line(error)}")


def _tflite(place: Path) -> Runner:
    litert = require("ai_edge_litert.interpreter")
    content = place.read_bytes()

    def interpreter() -> Any:
        return litert.Interpreter(model_content=content)

    try:
        first = interpreter()
        signatures = first.get_signature_list()
    except (RuntimeError, ValueError) as error:
        raise _not_loaded("LiteRT", place, error) from error
    if signatures:
        name = "sequence" if "sequence" in signatures else next(iter(signatures))
        return _of_signature(place, interpreter, name)
    return _of_tensors(place, interpreter)


def _of_signature(place: Path, interpreter: Callable[[], Any], name: str) -> Runner:
    signature = interpreter().get_signature_runner(name)
    inputs, outputs = (
        tuple(_tflite_spec(key, detail) for key, detail in sorted(details.items()))
        for details in (signature.get_input_details(), signature.get_output_details())
    )

    def answer(feeds: dict[str, Array]) -> Any:
        return interpreter().get_signature_runner(name)(**feeds)

    return ArtifactRunner(EntryPoint(place.name, inputs, outputs), answer)


def _of_tensors(place: Path, interpreter: Callable[[], Any]) -> Runner:
    first = interpreter()
    inputs = tuple(_tflite_spec(detail["name"], detail) for detail in first.get_input_details())
    outputs = tuple(_tflite_spec(detail["name"], detail) for detail in first.get_output_details())

    def answer(feeds: dict[str, Array]) -> dict[str, Array]:
        model = interpreter()  # a new one for each call, because shapes may change: see litert.py
        for detail in model.get_input_details():
            model.resize_tensor_input(detail["index"], feeds[detail["name"]].shape, strict=True)
        model.allocate_tensors()
        for detail in model.get_input_details():
            model.set_tensor(detail["index"], feeds[detail["name"]])
        model.invoke()
        return {d["name"]: model.get_tensor(d["index"]) for d in model.get_output_details()}

    return ArtifactRunner(EntryPoint(place.name, inputs, outputs), answer)


def _tflite_spec(name: str, detail: Mapping[str, Any]) -> TensorSpec:
    shape = detail.get("shape_signature", detail["shape"])
    dims = tuple(int(dim) if dim >= 0 else f"{name}_axis{axis}" for axis, dim in enumerate(shape))
    return TensorSpec(name, dims, np.dtype(detail["dtype"]).name)


def runtime_of(place: Path) -> str:
    """Return the name of the runtime that `open_artifact` uses for a file."""
    return {".onnx": "ort-cpu", ".tflite": "litert"}.get(place.suffix.lower(), "")


LOADERS: dict[str, Callable[[Path], Runner]] = {".onnx": _onnx, ".tflite": _tflite}
