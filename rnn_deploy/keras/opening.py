"""Open a model file of any Keras, a SavedModel folder, a part of a model, or a live Keras model.

Files are untrusted: Keras' safe mode is on by default, so a file cannot run code (a Lambda layer
would).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnn_deploy.bundle.manifest import ModelSource
from rnn_deploy.errors import InputError, UnsupportedModelError, one_line
from rnn_deploy.keras import access, compat, keras3
from rnn_deploy.keras.ctc import without_ctc_loss
from rnn_deploy.keras.defaults import usual_defaults
from rnn_deploy.keras.keras2 import opening as keras2
from rnn_deploy.keras.keras2 import weights as keras2_weights
from rnn_deploy.keras.keras2.package import is_keras2
from rnn_deploy.keras.keras2.user_imports import building_as
from rnn_deploy.keras.kinds import (
    CHECKPOINT,
    H5,
    JSON,
    SAVED_MODEL,
    WEIGHTS,
    ModelFile,
    model_file,
)
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.keras.user_classes import user_classes
from rnn_deploy.optional import is_installed
from rnn_deploy.user_code import builder_in, built_by


@dataclass(frozen=True)
class OpenedModel:
    """A Keras model whose layers can be read.

    written_by: the Keras that wrote its file, in words; empty for a live model.
    """

    model: Any
    source: ModelSource
    notes: tuple[str, ...] = ()
    written_by: str = ""


@dataclass(frozen=True)
class OpenedSavedModel:
    """A SavedModel's serving function, if its layers cannot be read.

    why: the reason, if it is known.
    """

    function: Any
    source: ModelSource
    keep: Any  # the loaded object, which owns the variables that the function reads
    written_by: str = ""
    why: str = ""


def open_model(
    source: Any,
    *,
    trust_source: bool = False,
    weights: str | Path | None = None,
    model_from: str | Path | Callable[[], Any] | None = None,
    custom: Sequence[str | Path] = (),
) -> OpenedModel | OpenedSavedModel:
    """Open a path or a live Keras model; spec/opening.py describes the options.

    Raises InputError if it is not a model, UnsupportedModelError if it needs code or classes that
    are not available.
    """
    if access.is_model(source):
        _refuse_for_live(weights=weights, model_from=model_from, custom=custom)
        return _live(source)
    if not isinstance(source, str | Path):
        raise InputError(
            "E-SOURCE-TYPE",
            f"expected a Keras model or the path of one, found {type(source).__name__}; give a"
            " keras.Model, a .keras or .h5 file, or a SavedModel folder",
        )
    file = model_file(Path(source))
    custom = (custom,) if isinstance(custom, str | Path) else custom
    with usual_defaults():
        if model_from is not None:
            return _with_weights_of(file, model_from, weights, custom)
        if file.kind == SAVED_MODEL:
            _refuse_weights(file, weights)
            return _open_folder(file, custom, trust_source=trust_source)
        return _open_file(file, weights, custom, trust_source=trust_source)


def _open_file(
    file: ModelFile, weights: str | Path | None, custom: Sequence[str | Path], *, trust_source: bool
) -> OpenedModel:
    if file.kind in (WEIGHTS, CHECKPOINT):
        raise InputError(
            "E-SOURCE-WEIGHTS-ONLY",
            f"{file.place}: contains weights without a model; add --model-from FILE.py:FUNCTION,"
            " whose function builds the model, or, if its layers are in a JSON file, export that:"
            f" MODEL.json --weights {file.place.name}",
        )
    notes: tuple[str, ...] = ()
    if file.kind == JSON:
        model, notes = _of_layers(file, weights, custom, trust_source=trust_source)
    else:
        _refuse_weights(file, weights)
        known = user_classes(custom, keras2=file.is_of_keras_2)
        if not file.is_of_keras_2:
            model = keras3.open_whole(file, known, trust_source=trust_source)
        else:
            opened = keras2.open_h5 if file.kind == H5 else keras2.open_archive
            model, notes = opened(file, known, trust_source=trust_source)
    return _opened(model, file, notes)


def _of_layers(
    file: ModelFile, weights: str | Path | None, custom: Sequence[str | Path], *, trust_source: bool
) -> tuple[Any, tuple[str, ...]]:
    """Return the model of a JSON file with the layers, and the given weights."""
    if weights is None:
        raise InputError(
            "E-SOURCE-LAYERS-ONLY",
            f"{file.place}: contains the layers of a model without its weights; add --weights W.h5",
        )
    given = model_file(Path(weights))
    if file.version is None and given.is_of_keras_2:
        file = replace(file, version=given.version)
    elif file.version is None:
        file = replace(file, version="2")
    known = user_classes(custom, keras2=file.is_of_keras_2)
    if file.is_of_keras_2:
        return keras2.open_layers(file, given, known, trust_source=trust_source)
    model = keras3.open_layers(file, known, trust_source=trust_source)
    keras3.load_weights(model, given)
    return model, ()


def _with_weights_of(
    file: ModelFile,
    model_from: str | Path | Callable[[], Any],
    weights: str | Path | None,
    custom: Sequence[str | Path],
) -> OpenedModel:
    """Return the model that a user's function builds, with the weights of a file."""
    if weights is not None or custom:
        raise InputError(
            "E-OPTION-CONFLICT",
            "--model-from builds the model in Python, and takes its weights from MODEL; remove"
            f" {'--weights' if weights is not None else '--custom'}",
        )
    name = getattr(model_from, "__name__", str(model_from))
    notes: tuple[str, ...] = ()
    if callable(model_from):
        model = built_by(model_from, name)
    else:
        try:
            model, notes = _built_as(file.version, name)
        except InputError:
            if file.version is not None:
                raise
            model, notes = _built_as("2-tf", name)  # the code may import parts of Keras 2
        if file.version is None and not is_keras2(model):
            notes += (
                f"{file.place.name} does not say which Keras wrote it; {name} ran with Keras"
                " 3: let it import tf_keras if that was Keras 2",
            )
    if not access.is_model(model):
        raise InputError(
            "E-SOURCE-NO-MODEL",
            f"{name}: returned {type(model).__name__}, expected a keras.Model; return the model",
        )
    if not model.built:
        raise InputError(
            "E-SOURCE-NOT-BUILT",
            f"{name}: model '{model.name}' has no weights yet; start it with keras.Input, or call"
            " it once",
        )
    load = keras2_weights.load_weights if is_keras2(model) else keras3.load_weights
    load(model, file)
    return _opened(model, file, notes)


def _built_as(version: str | None, name: str) -> tuple[Any, tuple[str, ...]]:
    """Return the model that FILE.py:FUNCTION builds with the Keras of a version, and notes."""
    with building_as(version) as notes:
        return built_by(builder_in(name), name), notes


def _live(source: Any) -> OpenedModel:
    model, notes = without_ctc_loss(source)
    return OpenedModel(model, ModelSource("live model", source.name, weights_digest(model)), notes)


def _opened(model: Any, file: ModelFile, notes: tuple[str, ...]) -> OpenedModel:
    model, cut = without_ctc_loss(model)
    source = ModelSource(file.kind, file.place.name, weights_digest(model))
    return OpenedModel(model, source, (*notes, *cut), file.written_by)


def _refuse_for_live(**given: Any) -> None:
    for name, value in given.items():
        if value:
            raise InputError(
                "E-OPTION-CONFLICT",
                f"{name} applies only to a model file, and the source is a model; remove {name}",
            )


def _refuse_weights(file: ModelFile, weights: Any) -> None:
    if weights is not None:
        raise InputError(
            "E-OPTION-CONFLICT",
            f"{file.place}: contains weights of its own; remove --weights, or give the layers"
            " alone, as JSON",
        )


def _written_by(place: Path) -> str:
    """Return the program that wrote a SavedModel, in words; the file has only its TensorFlow."""
    graph = compat.SavedModelProto()
    try:
        graph.ParseFromString((place / "saved_model.pb").read_bytes())
    except compat.DecodeError:
        return "an unknown program"  # opening the file reports what is wrong with it
    version = graph.meta_graphs[0].meta_info_def.tensorflow_version if graph.meta_graphs else ""
    keras = "Keras 2, " if (place / "keras_metadata.pb").is_file() else ""
    return f"{keras}TensorFlow {version or 'of an unknown version'}"


def weights_digest(model: Any) -> str:
    """Return the SHA-256 over a model's weights in order: shape, dtype and value of each."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = weight.numpy()
        digest.update(f"{value.shape} {value.dtype};".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _open_folder(
    file: ModelFile, custom: Sequence[str | Path], *, trust_source: bool
) -> OpenedModel | OpenedSavedModel:
    place, why = file.place, ""
    known: Mapping[str, Any] = user_classes(custom, keras2=file.is_of_keras_2)
    if file.is_of_keras_2:
        if is_installed("tf_keras"):
            model, why = keras2.open_folder(place, known, trust_source=trust_source)
            if model is not None:
                source = ModelSource(SAVED_MODEL, place.name, weights_digest(model))
                return OpenedModel(model, source, (), _written_by(place))
        else:
            why = "tf_keras is not installed"
    return _open_saved_model(place, why)


def _open_saved_model(place: Path, why: str) -> OpenedSavedModel:
    graph = place / "saved_model.pb"
    try:
        loaded = tf.saved_model.load(str(place))
        signatures = dict(loaded.signatures)
    except Exception as error:
        raise InputError(
            "E-SOURCE-UNREADABLE",
            f"{place}: TensorFlow cannot load it ({one_line(error)}); copy the whole folder again,"
            " with variables/ and assets/",
        ) from error
    names = [name for name in ("serving_default", "serve") if name in signatures]
    names += list(signatures) if len(signatures) == 1 else []
    if not names:
        raise UnsupportedModelError(
            "E-SOURCE-SIGNATURE",
            f"{place}: has no signature 'serving_default' or 'serve', only {sorted(signatures)};"
            " load it in Python and save it with one name:"
            " tf.saved_model.save(loaded, FOLDER, signatures=loaded.signatures[NAME])",
        )
    digest = hashlib.sha256(graph.read_bytes()).hexdigest()
    source = ModelSource("SavedModel", place.name, digest)
    return OpenedSavedModel(signatures[names[0]], source, loaded, _written_by(place), why)
