"""Open files that Keras 1 or 2 wrote, as tf_keras models.

No code in a file runs: a Lambda layer needs `trust_source`, and modules outside Keras are not
imported.
"""

import json
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from rnn_deploy.errors import InputError, RnnDeployError, one_line
from rnn_deploy.keras import access
from rnn_deploy.keras.compat import find
from rnn_deploy.keras.keras2 import configuration, weights
from rnn_deploy.keras.keras2.package import package
from rnn_deploy.keras.keras2.precision import in_precision
from rnn_deploy.keras.keras3 import code_in
from rnn_deploy.keras.kinds import WEIGHTS, ModelFile, architecture, configuration_in
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.keras.unknown_class import name_in, unknown_class

Notes = tuple[str, ...]
Known = Mapping[str, Any]


def open_h5(file: ModelFile, known: Known, *, trust_source: bool) -> tuple[Any, Notes]:
    """Open an HDF5 file of Keras 1 or 2; return the tf_keras model, and notes for the user.

    known: the user's classes and functions by name.
    """
    with _loading(file, known):
        model = configuration_in(file)
        with h5py.File(file.place) as opened:
            shapes = weights.shapes_in(weights.group_in(opened))
        built, notes = _built(file, model, shapes, known, trust_source=trust_source)
        weights.load_weights(built, file)
    return _computing_in_floats(built), notes + _theano_notes(file, model)


def open_layers(
    file: ModelFile, given: ModelFile, known: Known, *, trust_source: bool
) -> tuple[Any, Notes]:
    """Open layers as JSON and the weights given beside them, written by Keras 1 or 2."""
    shapes: Mapping[str, list[tuple[int, ...]]] = {}
    with _loading(file, known):
        if given.kind == WEIGHTS:
            with h5py.File(given.place) as opened:
                shapes = weights.shapes_in(weights.group_in(opened))
        model = architecture(file.place)
        built, notes = _built(file, model, shapes, known, trust_source=trust_source)
    weights.load_weights(built, given)
    return _computing_in_floats(built), notes + _theano_notes(given, model)


def open_archive(file: ModelFile, known: Known, *, trust_source: bool) -> tuple[Any, Notes]:
    """Open a .keras archive of Keras 2.12 to 2.15; return the tf_keras model, and notes."""
    with tempfile.TemporaryDirectory() as folder, _loading(file, known):
        copy, place = Path(folder) / "copy.keras", Path(folder) / "model.keras"
        weights.copy_with_slashes(file.place, copy)
        model = configuration_in(file)
        notes = _check(model, file, known, trust_source=trust_source)
        with zipfile.ZipFile(copy) as archive, zipfile.ZipFile(place, "w") as corrected:
            for name in archive.namelist():
                content = archive.read(name)
                if name == "config.json":
                    content = json.dumps(
                        configuration.corrected(model, file.version or "2")
                    ).encode()
                corrected.writestr(name, content)
        opened = package().models.load_model(
            place, custom_objects=_usable(known), compile=False, safe_mode=not trust_source
        )
    return _computing_in_floats(opened), notes


def open_folder(place: Path, known: Known, *, trust_source: bool) -> tuple[Any | None, str]:
    """Open a SavedModel with Keras 2's layers; return None and the reason if that is impossible."""
    metadata = find("tf_keras.protobuf.saved_metadata_pb2").SavedMetadata()
    metadata.ParseFromString((place / "keras_metadata.pb").read_bytes())
    configs = [json.loads(node.metadata) for node in metadata.nodes if node.metadata]
    names = [name for config in configs for name in configuration.class_names(config)]
    if "Lambda" in names and not trust_source:
        return None, "one runs Python code (Lambda); add --trust-source to read them"
    try:
        with find("tf_keras.src.saving.serialization_lib.SafeModeScope")(not trust_source):
            opened = package().models.load_model(
                str(place), custom_objects=_usable(known), compile=False
            )
    except Exception as error:  # an unknown class, or a file that tf_keras cannot read
        name = name_in(str(error))
        if name is not None:
            return None, _unknown(name)
        return None, f"tf_keras cannot load them ({one_line(error)[:120]})"
    revived = _revived_in(opened)
    if revived is not None:
        return None, _unknown(revived)
    if not access.is_model(opened) or access.functional_of(opened) is None:
        return None, "the model is a subclassed one, whose calls are not in the file"
    return _computing_in_floats(opened), ""


def _unknown(name: str) -> str:
    return f"Keras does not know the class '{name}'; add --custom FILE.py, which defines it"


def _revived_in(model: Any) -> str | None:
    """Return the first unknown class; Keras revives its layer from the graph without options."""
    if not access.is_model(model):
        return None
    revived = find("tf_keras.src.saving.legacy.saved_model.load").__name__
    kinds = (type(layer) for layer in access.layers_in(model))
    return next((kind.__name__ for kind in kinds if kind.__module__ == revived), None)


def _built(
    file: ModelFile, model: Any, shapes: Mapping[str, Any], known: Known, *, trust_source: bool
) -> tuple[Any, Notes]:
    """Return the model of a configuration, with new random weights."""
    notes = _check(model, file, known, trust_source=trust_source)
    model = configuration.corrected(model, "2" if file.version is None else file.version)
    shaped = configuration.with_input_shape(model, shapes)
    if shaped is None:
        raise InputError(
            "E-SOURCE-NO-SHAPE",
            f"{file.place}: its first layer has no input shape, and none follows from its weights;"
            " build the model in Python with an Input, and add --model-from FILE.py:FUNCTION",
        )
    with find("tf_keras.src.saving.serialization_lib.SafeModeScope")(not trust_source):
        built = find("tf_keras.src.saving.legacy.model_config.model_from_config")(
            shaped, custom_objects=_usable(known)
        )
    return built, notes


def _check(model: Any, file: ModelFile, known: Known, *, trust_source: bool) -> Notes:
    """Refuse code in a configuration; return notes on parts that are ignored."""
    if "Lambda" in configuration.class_names(model) and not trust_source:
        raise code_in(file.place)
    for _, name in configuration.foreign_modules(model):
        if name not in known and name.rpartition(">")[2] not in known:
            raise unknown_class(file.place, name.rpartition(">")[2], model)
    unknown = configuration.unknown_training_classes(model, _is_known)
    return tuple(
        f"'{name}' is left out: Keras does not know it, and it only matters in training"
        for name in sorted(set(unknown))
    )


def _is_known(kind: str, name: str) -> bool:
    module = getattr(package(), f"{kind}s")
    try:
        return module.get(name) is not None
    except (ValueError, TypeError):
        return name in vars(module)


def _theano_notes(file: ModelFile, model: Any) -> Notes:
    """Return a note if convolution kernels may be mirrored: Keras 1 did not store its backend."""
    old = (file.version or "")[:2] in ("", "0.", "1.") and file.version is not None
    if old and any("Conv" in name for name in configuration.class_names(model)):
        return (
            "Keras 1 did not store which backend trained it: if it was Theano, the kernels of"
            " convolutions are mirrored, and the results are wrong",
        )
    return ()


@contextmanager
def _loading(file: ModelFile, known: Known) -> Any:
    """Convert any exception of tf_keras to one clear error."""
    try:
        yield
    except RnnDeployError:
        raise
    except Exception as error:  # tf_keras raises many types
        whole = str(error)
        name = name_in(whole)
        if name is not None:
            wrong = _is_of_keras_3(known.get(name))
            why = " as a layer of Keras 2: derive it from tf_keras.layers.Layer" if wrong else ""
            raise unknown_class(file.place, name, configuration_in(file), why) from error
        message = " ".join(whole.rpartition("Exception encountered: ")[2].split())[:300]
        raise InputError(
            "E-SOURCE-UNREADABLE",
            f"{file.place}: written by {file.written_by}, and tf_keras cannot load it ({message});"
            " build its layers in Python and add --model-from FILE.py:FUNCTION",
        ) from error


def _usable(known: Known) -> dict[str, Any]:
    """Return the user's classes and functions, except layers of Keras 3."""
    registry = find("tf_keras.src.saving.object_registration")
    scopes = (
        package().saving.get_custom_objects(),
        vars(registry._THREAD_LOCAL_CUSTOM_OBJECTS),
        known,
    )
    return {
        name: value
        for scope in scopes
        for name, value in scope.items()
        if not _is_of_keras_3(value)
    }


def _is_of_keras_3(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, keras.layers.Layer)


def _computing_in_floats(model: Any) -> Any:
    """Return the model in float32, or in float64 if a layer uses it; never in half precision."""
    computed = {layer.compute_dtype for layer in access.layers_in(model)}
    if not computed & {"float16", "bfloat16"}:
        return model
    return in_precision(model, "float64" if "float64" in computed else "float32")
