"""Open a .keras or .h5 file, a SavedModel folder, or a live Keras model.

Files are untrusted: Keras' safe mode is on by default, so a file cannot run code (as a Lambda layer
does).
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from rnn_deploy.bundle.manifest import ModelSource
from rnn_deploy.errors import InputError, UnsupportedModelError, one_line
from rnn_deploy.keras.tensorflow import keras, tf

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class OpenedModel:
    """A Keras model whose layers can be read."""

    model: Any
    source: ModelSource


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
    if isinstance(source, keras.Model):
        return OpenedModel(source, ModelSource("live model", source.name, weights_digest(source)))
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
        return _open_saved_model(place)
    kind = _kind_of(place)
    model = _load(place, trust_source=trust_source)
    return OpenedModel(model, ModelSource(kind, place.name, weights_digest(model)))


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
    raise InputError(
        "E-SOURCE-FORMAT",
        f"{place}: is not a Keras model (neither a .keras archive nor HDF5), or only a part of one;"
        " copy the whole file again, or save the model again with model.save(...)",
    )


def _load(place: Path, *, trust_source: bool) -> Any:
    try:
        with _taking_keras_2() if _is_of_keras_2(place) else nullcontext():
            return keras.saving.load_model(place, compile=False, safe_mode=not trust_source)
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
        if "Could not locate" in whole or "custom_objects" in whole:
            what = re.search(r"Could not locate [^.]*", whole)
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


def _is_of_keras_2(place: Path) -> bool:
    """Return whether a Keras before 3 wrote a file; the oldest releases left no version."""
    if _kind_of(place) == ".h5":
        with h5py.File(place) as file:
            version = file.attrs.get("keras_version", "")
    else:
        with zipfile.ZipFile(place) as archive:
            version = json.loads(archive.read("metadata.json")).get("keras_version", "3")
    version = version.decode() if isinstance(version, bytes) else str(version)
    return version[:2] in ("", "0.", "1.", "2.")


@contextmanager
def _taking_keras_2() -> Iterator[None]:
    """While open, Keras 3 accepts configurations that Keras 2 wrote.

    These have `time_major` in recurrent layers, and layers within layers by class name alone. Not
    for files of Keras 3: there operations have the names of layers (Concatenate, Softmax,
    Subtract), and a layer in their place rejects their arguments, or applies a mask.
    """

    def tolerant(original: Any) -> Any:
        def from_config(cls: Any, config: dict[str, Any], *args: Any, **options: Any) -> Any:
            if config.get("time_major") is False:
                config = {name: value for name, value in config.items() if name != "time_major"}
            return original.__func__(cls, config, *args, **options)

        return classmethod(from_config)

    kinds: list[Any] = [kind for kind in vars(keras.layers).values() if isinstance(kind, type)]
    recurrent = [kind for kind in kinds if issubclass(kind, keras.layers.RNN)]
    before = {k: k.__dict__["from_config"] for k in recurrent if "from_config" in k.__dict__}
    for kind, original in before.items():
        kind.from_config = tolerant(original)
    try:
        with keras.saving.custom_object_scope({kind.__name__: kind for kind in kinds}):
            yield
    finally:
        for kind, original in before.items():
            kind.from_config = original


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
