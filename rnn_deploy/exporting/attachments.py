"""Combine the labels and scalers of a user with the model's own preprocessing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.errors import InputError
from rnn_deploy.exporting.given import ANY
from rnn_deploy.spec import EntryPoint, TensorSpec


def attachments_for(
    given: Attachments, cut: Mapping[str, Sequence[Mapping[str, Any]]], entry: EntryPoint
) -> Attachments:
    """Return the attachments of a bundle. cut: steps from the model's own preprocessing layers.

    Raises InputError for labels, features, a vocabulary or a scaler that do not fit the model.
    """
    labels = {
        (tensor := _tensor("--labels", name, entry.outputs)).name: _counted(tensor, listed)
        for name, listed in given.labels.items()
    }
    features = {}
    for name, listed in given.features.items():
        tensor = _tensor("--features", name, entry.inputs)
        if tensor.shape[-1:] != (len(listed),):
            raise InputError(
                "E-EXPORT-ATTACHMENT",
                f"--features: input '{tensor}' has {tensor.shape[-1]} features, got {len(listed)}",
            )
        features[tensor.name] = list(listed)
    steps = {name: list(listed) for name, listed in cut.items()}
    for name, wanted in given.steps.items():
        option = "--scaler" if wanted[0]["kind"] == "scaler" else "--vocabulary"
        tensor = _tensor(option, name, entry.inputs)
        if tensor.name in steps:
            raise InputError(
                "E-EXPORT-ATTACHMENT",
                f"{option}: input '{tensor.name}' has a preprocessing layer of its own; remove it",
            )
        steps[tensor.name] = [_fitting(option, tensor, step) for step in wanted]
    return Attachments(labels, features, steps)


def _fitting(option: str, tensor: TensorSpec, step: Mapping[str, Any]) -> Mapping[str, Any]:
    if step["kind"] == "scaler":
        sizes = {np.size(step["offset"])} - {1}
        if np.dtype(tensor.dtype).kind != "f" or sizes - set(tensor.shape[-1:]):
            raise InputError(
                "E-EXPORT-ATTACHMENT",
                f"{option}: input '{tensor}' does not take {np.size(step['offset'])} features that"
                " can be scaled",
            )
        return {**step, "dtype": tensor.dtype}
    largest = (
        max(step["index"].values()) if step["kind"] == "tokenizer" else len(step["vocabulary"]) - 1
    )
    if step["kind"] == "tokenizer" and step["words"] is not None:
        largest = min(largest, step["words"] - 1)
    if len(tensor.shape) != 2 or (tensor.below is not None and largest >= tensor.below):
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            f"{option}: has ids up to {largest}, and input '{tensor}' takes"
            f" {'ids below ' + str(tensor.below) if tensor.below else 'no ids'}",
        )
    return step


def _counted(tensor: TensorSpec, labels: Sequence[str]) -> list[str]:
    width = tensor.shape[-1] if len(tensor.shape) > 1 else 1
    if width != len(labels) and not (width == 1 and len(labels) == 2):
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            f"--labels: output '{tensor}' has {width} classes, got {len(labels)} labels",
        )
    return list(labels)


def _tensor(option: str, name: str, tensors: Sequence[TensorSpec]) -> TensorSpec:
    names = ", ".join(tensor.name for tensor in tensors)
    if name == ANY and len(tensors) > 1:
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            f"{option}: which one is meant? give it as NAME=...; one of {names}",
        )
    found = [tensor for tensor in tensors if name in (ANY, tensor.name)]
    if not found:
        raise InputError("E-EXPORT-ATTACHMENT", f"{option} {name}: the model has only {names}")
    return found[0]
