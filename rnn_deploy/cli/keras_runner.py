"""A Keras model file as the first model of `rnn-deploy compare`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.artifact import ArtifactRunner
from rnn_deploy.spec import Array, EntryPoint, TensorSpec
from rnn_deploy.spec.opening import Opening

ENDINGS = (".keras", ".h5", ".hdf5", ".json")


def is_keras_file(place: Path) -> bool:
    """Return whether a path names a Keras model file."""
    return place.suffix.lower() in ENDINGS


def keras_runner(place: Path, opening: Opening) -> ArtifactRunner:
    """Return a runner of the Keras model in a file, for inference in float32 under TensorFlow."""
    from rnn_deploy.keras.opening import OpenedSavedModel, open_model
    from rnn_deploy.keras.preprocessing import without_preprocessing
    from rnn_deploy.keras.signature import call_flat, signature_of

    opened, _ = without_preprocessing(open_model(place, **vars(opening)))
    if isinstance(opened, OpenedSavedModel):
        raise InputError(
            "E-VERIFY-SAVED-MODEL", f"{place}: is a SavedModel; give the .keras or .h5 file"
        )
    model, signature = opened.model, signature_of(opened.model)
    outputs = tuple(TensorSpec(name, ("batch",), "float32") for name in signature.output_names)

    def answer(feeds: dict[str, Array]) -> Mapping[str, Array]:
        values = call_flat(model, [feeds[tensor.name] for tensor in signature.inputs])
        return {t.name: np.asarray(v) for t, v in zip(outputs, values, strict=True)}

    return ArtifactRunner(EntryPoint(place.name, signature.inputs, outputs), answer)
