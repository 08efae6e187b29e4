"""Open a .keras or .h5 file, a SavedModel folder, or a live Keras model.

Files are untrusted: Keras' safe mode is on by default, so a file cannot run code (as a Lambda layer
does).
"""

import hashlib
import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from rnn_deploy.bundle.manifest import ModelSource
from rnn_deploy.errors import InputError, UnsupportedModelError, one_line
from rnn_deploy.keras import access, compat
from rnn_deploy.keras.ctc import without_ctc_loss
from rnn_deploy.keras.hdf5_check import check_hdf5
from rnn_deploy.keras.keras2.opening import open_archive, open_folder, open_h5
from rnn_deploy.keras.tensorflow import keras, tf
from rnn_deploy.optional import is_installed

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class OpenedModel:
    """A Keras model whose layers can be read."""

    model: Any
    source: ModelSource
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenedSavedModel:
    """A SavedModel's serving function: its layers can no longer be read."""

    function: Any
    source: ModelSource
    keep: Any  # the loaded object owns the variables the function reads


def open_model(source: Any, *, trust_source: bool = False) -> OpenedModel | OpenedSavedModel:
    """Open a path or a live Keras model.

    Raises InputError if it is no model, UnsupportedModelError if it needs code or classes that
    are not available.
    """
    if access.is_model(source):
        return _live(source)
    if not isinstance(source, str | Path):
        raise InputError(
            "E-SOURCE-TYPE",
            f"expected a Keras model or the path of one, found {type(source).__name__}; give a"
            " keras.Model, a .keras or .h5 file, or a SavedModel folder",
        )
    place = Path(source)
    if not place.exists():
        raise InputError(
            "E-SOURCE-NOT-FOUND",
            f"{place}: no such file; give a .keras or .h5 file, or a SavedModel folder",
        )
    if place.is_dir():
        return _open_folder(place, trust_source=trust_source)
    kind = _kind_of(place)
    check_hdf5(place)
    _refuse_weights_alone(place, kind)
    notes: tuple[str, ...] = ()
    if not _is_of_keras_2(place, kind):
        model = _load(place, kind, trust_source=trust_source)
    elif kind == ".h5":
        model, notes = open_h5(place, trust_source=trust_source)
    else:
        model, notes = open_archive(place, trust_source=trust_source)
    model, cut = without_ctc_loss(model)
    source = ModelSource(kind, place.name, weights_digest(model))
    return OpenedModel(model, source, (*notes, *cut))


def _live(source: Any) -> OpenedModel:
    model, notes = without_ctc_loss(source)
    return OpenedModel(model, ModelSource("live model", source.name, weights_digest(model)), notes)


def weights_digest(model: Any) -> str:
    """SHA-256 over a model's weights in order: shape, dtype and value of each."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = weight.numpy()
        digest.update(f"{value.shape} {value.dtype};".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _kind_of(place: Path) -> str:
    with place.open("rb") as file:
        head = file.read(len(HDF5_MAGIC))
    if head == HDF5_MAGIC:
        return ".h5"
    if zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            if "config.json" in archive.namelist():
                return ".keras"
    if head.lstrip().startswith(b"{") and b'"class_name"' in place.read_bytes():
        raise InputError(
            "E-SOURCE-LAYERS-ONLY",
            f"{place}: contains the layers of a model without its weights; build it in Python with"
            " keras.models.model_from_json(...), call model.load_weights(...), and export it:"
            " rnn_deploy.export(model, ...)",
        )
    raise InputError(
        "E-SOURCE-FORMAT",
        f"{place}: is not a Keras model (neither a .keras archive nor HDF5), or only a part of one;"
        " copy the whole file again, or save the model again with model.save(...)",
    )


def _refuse_weights_alone(place: Path, kind: str) -> None:
    """Raise InputError for an HDF5 file that contains weights, but not the layers."""
    if kind != ".h5" or not h5py.is_hdf5(place):
        return
    try:
        with h5py.File(place) as file:
            weights = "layer_names" in file.attrs or bool({"layers", "vars"} & set(file))
            alone = weights and "model_config" not in file.attrs
    except OSError:
        return  # Keras says what is wrong with the file
    if alone:
        raise InputError(
            "E-SOURCE-WEIGHTS-ONLY",
            f"{place}: contains weights without a model; build the model in Python, call"
            " model.load_weights(...), and export it: rnn_deploy.export(model, ...)",
        )


def _load(place: Path, kind: str, *, trust_source: bool) -> Any:
    # An .h5 file names the operations between layers by their class alone.
    own = compat.operations() | compat.custom_objects() if kind == ".h5" else None
    try:
        return keras.saving.load_model(
            place, custom_objects=own, compile=False, safe_mode=not trust_source
        )
    except Exception as error:  # Keras raises many types
        whole = str(error)
        # Keras shows the whole configuration first, and the exception at the end.
        message = " ".join(whole.rpartition("Exception encountered: ")[2].split())[:300]
        if "safe_mode" in whole or "unsafe" in whole.lower():
            raise UnsupportedModelError(
                "E-SOURCE-CODE",
                f"{place}: contains Python code (a Lambda layer), which is not run by default;"
                " add --trust-source if you trust the source of the file",
            ) from error
        if re.search("Could not locate|custom_objects?|Unknown layer", whole):
            what = re.search(r"Could not locate [^.]*|Unknown layer: '?\w*", whole)
            raise UnsupportedModelError(
                "E-SOURCE-CLASS",
                f"{place}: needs a class that Keras does not know"
                f" ({what.group() if what else message}); export from Python, where your classes"
                " are registered: rnn_deploy.export(model, ...)",
            ) from error
        raise InputError(
            "E-SOURCE-UNREADABLE",
            f"{place}: Keras cannot load it ({message}); copy the whole file again, or save the"
            " model again with model.save(...)",
        ) from error


def _is_of_keras_2(place: Path, kind: str) -> bool:
    """Return whether a Keras before 3 wrote a file; the oldest releases left no version."""
    try:
        if kind == ".h5":
            with h5py.File(place) as file:
                default = "" if "model_config" in file.attrs else "3"
                version = file.attrs.get("keras_version", default)
        else:
            with zipfile.ZipFile(place) as archive:
                version = json.loads(archive.read("metadata.json")).get("keras_version", "3")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return False  # Keras says what is wrong with the file
    version = version.decode() if isinstance(version, bytes) else str(version)
    return version[:2] in ("", "0.", "1.", "2.")


def _open_folder(place: Path, *, trust_source: bool) -> OpenedModel | OpenedSavedModel:
    if (place / "keras_metadata.pb").is_file() and is_installed("tf_keras"):
        model = open_folder(place, trust_source=trust_source)
        if model is not None:
            source = ModelSource("SavedModel", place.name, weights_digest(model))
            return OpenedModel(model, source)
    return _open_saved_model(place)


def _open_saved_model(place: Path) -> OpenedSavedModel:
    graph = place / "saved_model.pb"
    if not graph.is_file():
        raise InputError(
            "E-SOURCE-FORMAT",
            f"{place}: this folder is no SavedModel, it has no saved_model.pb; give a SavedModel"
            " folder, or a .keras or .h5 file",
        )
    try:
        loaded = tf.saved_model.load(str(place))
        signatures = dict(loaded.signatures)
    except Exception as error:
        raise InputError(
            "E-SOURCE-UNREADABLE",
            f"{place}: TensorFlow cannot load it ({one_line(error)}); copy the whole folder again,"
            " or save the model again",
        ) from error
    names = [name for name in ("serving_default", "serve") if name in signatures]
    if not names:
        raise UnsupportedModelError(
            "E-SOURCE-SIGNATURE",
            f"{place}: has no signature 'serving_default' or 'serve', only {sorted(signatures)};"
            " save it with one of these names",
        )
    digest = hashlib.sha256(graph.read_bytes()).hexdigest()
    source = ModelSource("SavedModel", place.name, digest)
    return OpenedSavedModel(signatures[names[0]], source, loaded)
