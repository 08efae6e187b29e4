"""Convert a Keras recurrent model to ONNX and TFLite, run it, and verify that nothing changed.

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
    BundleReplacedError,
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
    from rnn_deploy.scoring.scoring import ScoreResult, score
    from rnn_deploy.spec import Array
    from rnn_deploy.verifying.report.report import Report

__all__ = [
    "Bundle",
    "BundleError",
    "BundleReplacedError",
    "ClosedError",
    "InputError",
    "MisplacedError",
    "MissingExtraError",
    "Model",
    "Report",
    "RnnDeployError",
    "RuntimeAbortedError",
    "RuntimeUnavailableError",
    "ScoreResult",
    "Stream",
    "StreamBatch",
    "UnsupportedModelError",
    "VerificationError",
    "export",
    "load",
    "score",
    "verify",
]
Given = Mapping[str, Sequence[str]] | Sequence[str] | None
_MODULES = {
    "Bundle": "rnn_deploy.bundle.store",
    "Model": "rnn_deploy.inference.model",
    "Report": "rnn_deploy.verifying.report.report",
    "ScoreResult": "rnn_deploy.scoring.scoring",
    "Stream": "rnn_deploy.inference.stream",
    "StreamBatch": "rnn_deploy.inference.stream_batch",
    "load": "rnn_deploy.inference.model",
    "score": "rnn_deploy.scoring.scoring",
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
    to: str | Sequence[str] = (),
    time: int | str | None = None,
    batch: int | str | None = None,
    state: str = "input",
    dropout: str = "keep",
    quantize: str = "none",
    calibration: "Mapping[str, Array] | None" = None,
    samples: "Mapping[str, Array] | None" = None,
    seed: int = 0,
    long: int | None = None,
    trust_source: bool = False,
    labels: Given = None,
    features: Given = None,
    vocabulary: Any = None,
    scaler: Any = None,
    force: bool = False,
    **format_options: Any,
) -> "Bundle":
    """Export a Keras model (live, or the path of a .keras, .h5 or SavedModel) to a bundle.

    to: formats: "onnx" and "tflite" by default, "tflite-micro" (fixed shapes, for
    microcontrollers), or one that another package registers.
    time, batch: a fixed number of steps or sequences, or "open" for any. dropout: "off" removes
    dropout that the model applies with training=True. state: "input" (the stream entry point takes
    and returns states), "reset" (no stream; each call starts from zero) or "keep" (no stream; each
    call starts from the current states of the model).
    quantize: TFLite weights as "float16", "dynamic-int8", "int8" or "int16x8"; the last two take
    the ranges of activations from `calibration`, real inputs by name, (sequences, time, ...).
    samples: real inputs by name, stored as a golden vector. seed: of the others. long: steps of
    the longest one, 0 for none. trust_source: allow the file's code.
    labels, features: class names of the output, feature names of the input; a dict by name if
    there are several. vocabulary: tokens, or the settings of a tokeniser, for a model that starts
    at token ids. scaler: mean and scale of the features. docs/guides/inputs.md has their forms.
    force: replace the bundle at `output`. format_options: options of single formats; also weights,
    model_from, custom and evaluate, as in `rnn-deploy export`.
    ONNX: lowering ("auto", "native", "scan", "unrolled", or a dict of these by layer, "*" for all
    others); profile, where the file must be correct ("ort", "openvino", "portable"); expect, the
    expected shapes, which guide "auto" ("32x100", "stream=64x1": batch x time); opset, 17 to 22;
    test_data, ONNX test data too. TFLite: tflite_lowering (or a dict); io, "int8" or "int16" I/O.

    Raises UnsupportedModelError with every reason, InputError for a bad source, option or output.
    """
    from rnn_deploy.exporting.given import given_attachments
    from rnn_deploy.exporting.pipeline import export as export_bundle
    from rnn_deploy.formats.options import ExportOptions
    from rnn_deploy.verifying.loading import check_loads
    from rnn_deploy.verifying.quantisation_error import appraise

    options = ExportOptions(
        to, time=time, batch=batch, state=state, dropout=dropout, quantize=quantize,
        calibration=calibration, samples=samples, seed=seed, long=long, trust_source=trust_source,
        attachments=given_attachments(labels, features, vocabulary, scaler), **format_options,
    )  # fmt: skip
    return export_bundle(
        source, output, options, force=force, appraise=appraise, check_loads=check_loads
    )


def verify(bundle: "str | Path | Bundle", runtimes: str | Sequence[str] | None = None) -> "Report":
    """Compare runtimes, by default all available ones, with the golden vectors of a bundle.

    Returns a report; `.passed` is True if every output and state is within its budget.
    """
    from rnn_deploy.bundle import Bundle, open_bundle
    from rnn_deploy.runtimes.registry import runtime_named
    from rnn_deploy.verifying import verify as verify_bundle

    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    chosen = None if runtimes is None else [runtime_named(name) for name in _several(runtimes)]
    return verify_bundle(opened, runtimes=chosen)


def _several(words: str | Sequence[str]) -> tuple[str, ...]:
    """Return a list of words, or the single word as a list of one."""
    return (words,) if isinstance(words, str) else tuple(words)
