"""Compute the outputs of the Keras model that a bundle was made from, for any inputs."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.cli.console import say
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.spec import SEQUENCE, Array
from rnn_deploy.spec.opening import Opening

BATCH = 256


def keras_outputs(
    bundle: Bundle,
    place: Path,
    feeds: Mapping[str, Fitted],
    *,
    opening: Opening,
    note: Callable[[str], None] = lambda line: say(f"note: {line}"),
) -> dict[str, Fitted]:
    """Return the model's outputs for inputs of the bundle's sequence entry point.

    note: called with a message if the model's weights are not those of the bundle.

    Raises InputError for a SavedModel, and for a model with other inputs or outputs.
    """
    from rnn_deploy.keras.opening import OpenedSavedModel, open_model
    from rnn_deploy.keras.preprocessing import without_preprocessing
    from rnn_deploy.keras.signature import call_flat, signature_of

    opened, _ = without_preprocessing(open_model(place, **vars(opening)))
    if isinstance(opened, OpenedSavedModel):
        raise InputError(
            "E-VERIFY-SAVED-MODEL", f"{place}: is a SavedModel; give the .keras or .h5 file"
        )
    entry = bundle.manifest.entry(SEQUENCE)
    model = opened.model
    signature = signature_of(model)
    names = [tensor.name for tensor in signature.inputs]
    outputs = [tensor.name for tensor in entry.outputs]
    if names != [tensor.name for tensor in entry.inputs] or outputs != [*signature.output_names]:
        raise InputError(
            "E-VERIFY-OTHER-MODEL",
            f"{place}: has the inputs {', '.join(names)} and the outputs"
            f" {', '.join(signature.output_names)}, and {bundle.root} has other ones; give the"
            " model that it was made from",
        )
    if opened.source.digest != bundle.manifest.source.digest:
        note(f"{place} has other weights than the model that {bundle.root} was made from")

    def call(part: Mapping[str, Array]) -> Mapping[str, Array]:
        count = len(part[names[0]])
        size = BATCH if entry.why_one_batch is None else count
        pieces = [
            [np.asarray(value) for value in call_flat(model, [
                part[name][start : start + size] for name in names
            ])]
            for start in range(0, count, size)
        ]  # fmt: skip
        return {
            n: np.concatenate(values)
            for n, values in zip(outputs, zip(*pieces, strict=True), strict=True)
        }

    return run_rows(entry, feeds, call)
