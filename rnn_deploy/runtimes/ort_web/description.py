"""A bundle as the JavaScript module reads it: one entry point, its file, its preprocessing."""

from pathlib import PurePosixPath
from typing import Any

from rnn_deploy.bundle import Artifact, Bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.runtimes.ort_web.npm_package import VERSION
from rnn_deploy.spec import EntryPoint, TensorSpec

MODEL, WEIGHTS = "model.onnx", "model.onnx.data"
STEM = MODEL.removesuffix(".onnx")
# Types of tensors that onnxruntime-web accepts and for which JavaScript has arrays.
DTYPES = (
    *("float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"),
    *("uint64", "bool"),
)


def description(
    bundle: Bundle, entry: EntryPoint, artifact: Artifact, stem: str = STEM
) -> dict[str, Any]:
    """Return the content of STEM.json, as plain JSON values; its model file is STEM.onnx."""
    attachments = attachments_of(bundle)
    times = entry.time_symbols
    found = {
        "name": bundle.manifest.source.name,
        "digest": bundle.digest,
        "onnxruntime_web": VERSION,
        "entry": {
            "name": entry.name,
            "inputs": [_tensor(tensor) for tensor in entry.inputs],
            "outputs": [_tensor(tensor) for tensor in entry.outputs],
            "states": [
                {
                    **_tensor(state.tensor),
                    "next": state.next_name,
                    "layer": state.layer,
                    "role": state.role,
                }
                for state in entry.states
            ],
            "time": times[0] if len(times) == 1 else None,
            "streams": bool(entry.states) and entry.chunked.ok and len(times) == 1,
            "why": why_no_stream(entry),
        },
        "model": {"path": f"{stem}.onnx", "size": _size(bundle, artifact.path)},
        "steps": attachments.steps,
        "labels": attachments.labels,
        "features": attachments.features,
    }
    if artifact.weights is not None:
        found["weights"] = {
            "path": f"{stem}.onnx.data",
            "size": _size(bundle, artifact.weights),
            # The name by which the model file refers to it.
            "name": PurePosixPath(artifact.weights).name,
        }
    return found


def why_no_stream(entry: EntryPoint) -> str:
    """Return why an entry point cannot run step by step; empty if it can."""
    if not entry.chunked.ok:
        return entry.chunked.reason or "its chunks do not give what the whole gives"
    if not entry.states:
        return "it has no states"
    return "" if len(entry.time_symbols) == 1 else "its number of steps is fixed"


def unsupported_dtypes(entry: EntryPoint) -> list[TensorSpec]:
    """Return the tensors for which JavaScript has no arrays."""
    return [t for t in (*entry.all_inputs, *entry.all_outputs) if t.dtype not in DTYPES]


def _tensor(tensor: TensorSpec) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "below": tensor.below,
        "padding": tensor.padding,
    }


def _size(bundle: Bundle, path: str) -> int:
    return next(record.size for record in bundle.manifest.files if record.path == path)
