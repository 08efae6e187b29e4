"""Convert a Keras recurrent model to ONNX and TFLite, run it, and prove that nothing changed.

    rnn_deploy.export(model, "build/hello", to=("onnx", "tflite"))    needs the extra `export`
    with rnn_deploy.load("build/hello") as model:                     needs the extra of a runtime
        y = model.predict(x)
    report = rnn_deploy.verify("build/hello")

Importing this package imports neither TensorFlow nor onnx nor any runtime: `load` and the public
types are imported when they are first used.
"""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnn_deploy.errors import (
    BundleError,
    ClosedError,
    InputError,
    MisplacedError,
    MissingExtraError,
    RnnDeployError,
    RuntimeAbortedError,
    RuntimeUnavailableError,
    UnsupportedModelError,
    VerificationError,
)

if TYPE_CHECKING:
    from rnn_deploy.bundle.store import Bundle
    from rnn_deploy.inference.model import Model, load
    from rnn_deploy.inference.stream import Stream
    from rnn_deploy.inference.stream_batch import StreamBatch
    from rnn_deploy.spec import Array
    from rnn_deploy.verifying.report.report import Report

__all__ = [
    "Bundle",
    "BundleError",
    "ClosedError",
    "InputError",
    "MisplacedError",
    "MissingExtraError",
    "Model",
    "Report",
    "RnnDeployError",
    "RuntimeAbortedError",
    "RuntimeUnavailableError",
    "Stream",
    "StreamBatch",
    "UnsupportedModelError",
    "VerificationError",
    "export",
    "load",
    "verify",
]
_MODULES = {
    "Bundle": "rnn_deploy.bundle.store",
    "Model": "rnn_deploy.inference.model",
    "Report": "rnn_deploy.verifying.report.report",
    "Stream": "rnn_deploy.inference.stream",
    "StreamBatch": "rnn_deploy.inference.stream_batch",
    "load": "rnn_deploy.inference.model",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'rnn_deploy' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def export(
    source: Any,
    output: str | Path,
    *,
    to: str | Sequence[str] = ("onnx", "tflite"),
    lowering: str | Mapping[str, str] = "auto",
    target: str = "ort",
    expect: str | Sequence[str] = (),
    opset: int = 17,
    state: str = "input",
    time: int | None = None,
    samples: "Mapping[str, Array] | None" = None,
    seed: int = 0,
    long: int | None = None,
    test_data: bool | None = None,
    trust_source: bool = False,
    force: bool = False,
    tflite_lowering: str | Mapping[str, str] = "auto",
    quantize: str = "none",
    calibration: "Mapping[str, Array] | None" = None,
) -> "Bundle":
    """Export a Keras model (live, or the path of a .keras, .h5 or SavedModel) to a bundle.

    to: "onnx", "tflite". lowering: of ONNX, "auto", "native", "scan" or "unrolled", or a dict of
    these by layer ("*": of all others). target: what the ONNX must be right on, "ort",
    "openvino" or "portable". expect: shapes the model will be called with, by which "auto"
    chooses ("32x100", "stream=64x1": batch x time; by default "1x100", "32x100", "stream=1x1").
    opset: of ONNX, 17 to 22. time: fix the number of steps of the sequence entry point.
    state: "input" (the stream entry point takes and returns states), "reset" (no stream; each
    call starts from zero) or "keep" (from what the model holds).
    samples: real inputs by name, kept as a golden vector. long: steps of the longest golden
    vector, 0 for none; by default 10,000, fewer for a large model. test_data: write golden
    vectors as ONNX test data too, None for where they are small. trust_source: let the file run
    code of its own (a Lambda layer). force: replace the bundle that is at `output`.
    tflite_lowering: as `lowering`, of TFLite: "auto", "inplace", "loop", "unrolled" or "fused".
    quantize: of TFLite, "none", "float16", "dynamic-int8" or "int8", which takes the ranges of
    activations from `calibration`, real inputs by name.

    Raises UnsupportedModelError with every reason when the model cannot be exported exactly,
    InputError for a bad source or an existing output.
    """
    from rnn_deploy.exporting.options import ExportOptions
    from rnn_deploy.exporting.pipeline import export as export_bundle
    from rnn_deploy.verifying.quantisation_error import appraise

    options = ExportOptions(
        to=_several(to), lowering=lowering, time=time, samples=samples, seed=seed,
        trust_source=trust_source, target=target, state=state, opset=opset, expect=_several(expect),
        long=long, test_data=test_data, tflite_lowering=tflite_lowering, quantize=quantize,
        calibration=calibration,
    )  # fmt: skip
    return export_bundle(source, output, options, force=force, appraise=appraise)


def verify(bundle: "str | Path | Bundle", runtimes: str | Sequence[str] | None = None) -> "Report":
    """Compare runtimes, by default all available ones, with the golden vectors of a bundle.

    Returns a report; `.passed` says whether every output and state is within its budget.
    """
    from rnn_deploy.bundle import Bundle, open_bundle
    from rnn_deploy.runtimes.registry import runtime_named
    from rnn_deploy.verifying import verify as verify_bundle

    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    chosen = None if runtimes is None else [runtime_named(name) for name in _several(runtimes)]
    return verify_bundle(opened, runtimes=chosen)


def _several(words: str | Sequence[str]) -> tuple[str, ...]:
    """Return several words, also if a single one is given."""
    return (words,) if isinstance(words, str) else tuple(words)
