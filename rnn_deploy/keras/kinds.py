"""Find the kind of a model file, and the Keras version that wrote it, before it is opened."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from rnn_deploy.errors import InputError
from rnn_deploy.keras.hdf5_check import check_hdf5

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
H5, ARCHIVE, JSON, WEIGHTS = ".h5", ".keras", ".json", "weights"
SAVED_MODEL, CHECKPOINT = "SavedModel", "checkpoint"
_FORMATS = "a .keras or .h5 file, or a SavedModel folder"
# Other files by the ending of their name, with advice for each.
_OTHERS = {
    ".yaml": "the layers of a model as YAML; convert it: python -c 'import json, sys, yaml;"
    ' json.dump(yaml.unsafe_load(open(sys.argv[1])), open(sys.argv[2], "w"))\' IN.yaml OUT.json,'
    " then export OUT.json with --weights W.h5",
    ".pb": "a TensorFlow graph alone; give the folder of the SavedModel that it belongs to",
    ".pkl": "a pickle, which can run any code; load it in Python, where you trust it, and export"
    " the model from there: rnn_deploy.export(model, ...)",
    ".onnx": "exported already; give the Keras model it was made from, or compare it:"
    " rnn-deploy compare",
    ".tflite": "exported already; give the Keras model it was made from, or compare it:"
    " rnn-deploy compare",
}
_OTHERS |= {".yml": _OTHERS[".yaml"], ".pickle": _OTHERS[".pkl"]}


@dataclass(frozen=True)
class ModelFile:
    """A file or folder with a model or a part of one.

    kind: one of the names above. version: of the Keras that wrote it; "" in files of Keras before
    1.1, None if the file has none. place: without the ending for a checkpoint.
    """

    place: Path
    kind: str
    version: str | None

    @property
    def is_of_keras_2(self) -> bool:
        """Return whether a Keras before 3 wrote it."""
        return self.version is not None and self.version.partition(".")[0] in ("", "0", "1", "2")

    @property
    def written_by(self) -> str:
        """Return the program that wrote it, in words."""
        if self.version is None:
            return "an unknown version of Keras"
        if self.version == "":
            return "Keras before 1.1"
        name = "tf.keras" if self.version.endswith(("-tf", "-tf-keras")) else "Keras"
        return f"{name} {self.version.removesuffix('-keras').removesuffix('-tf')}"


def model_file(place: Path) -> ModelFile:
    """Return the kind of the file at `place`; raise InputError if it is not a model."""
    if place.is_dir():
        return _folder(place)
    if place.name.endswith(".index") or ".data-0" in place.name:
        place = place.with_name(place.name.rpartition(".")[0])
    if place.with_name(f"{place.name}.index").is_file():
        return ModelFile(place, CHECKPOINT, _version_of_checkpoint(place))
    if not place.exists():
        raise InputError("E-SOURCE-NOT-FOUND", f"{place}: no such file; give {_FORMATS}")
    if place.name == "saved_model.pb":
        return _folder(place.parent)
    kind = _kind_of(place)
    return ModelFile(place, kind, _version_in(place, kind))


def _folder(place: Path) -> ModelFile:
    if (place / "saved_model.pb").is_file():
        return ModelFile(place, SAVED_MODEL, "2" if _metadata(place).is_file() else None)
    if (place / "config.json").is_file() and (place / "metadata.json").is_file():
        return ModelFile(place, ARCHIVE, _version_in(place, ARCHIVE))
    indices = sorted(place.glob("*.index"), key=lambda index: index.stat().st_mtime)
    if indices:
        return model_file(indices[-1])
    raise InputError(
        "E-SOURCE-FORMAT",
        f"{place}: this folder is no SavedModel, it has no saved_model.pb; give {_FORMATS}",
    )


def _metadata(place: Path) -> Path:
    return place / "keras_metadata.pb"


def _kind_of(place: Path) -> str:
    with place.open("rb") as file:
        head = file.read(len(HDF5_MAGIC))
    if head == HDF5_MAGIC:
        check_hdf5(place)
        return WEIGHTS if _has_weights_alone(place) else H5
    if zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            if "config.json" in archive.namelist():
                check_hdf5(place)
                return ARCHIVE
    if head.lstrip()[:1] in (b"{", b"["):
        config = architecture(place)
        if isinstance(config, dict) and "class_name" in config:
            return JSON
    what = _OTHERS.get(place.suffix.lower())
    if what is not None:
        raise InputError("E-SOURCE-FORMAT", f"{place}: is {what}")
    raise InputError(
        "E-SOURCE-FORMAT",
        f"{place}: is not a Keras model (neither a .keras archive nor HDF5), or only a part of one;"
        f" copy the whole file again, or give {_FORMATS}",
    )


def architecture(place: Path) -> Any:
    """Return the JSON of a file, or None if it is not JSON."""
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        # Some scripts stored json.dumps(model.to_json()), a string that contains JSON.
        found = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return None
    if isinstance(found, dict) and "layers" in found and "class_name" not in found:
        kind = "Functional" if "input_layers" in found else "Sequential"  # model.get_config()
        return {"class_name": kind, "config": found}
    return found


def _has_weights_alone(place: Path) -> bool:
    try:
        with h5py.File(place) as file:
            weights = "layer_names" in file.attrs or bool({"layers", "vars"} & set(file))
            return weights and "model_config" not in file.attrs
    except OSError:
        return False  # opening the file reports what is wrong with it


def _version_in(place: Path, kind: str) -> str | None:
    """Return the Keras version in a file; the oldest releases wrote none."""
    version: Any = None
    try:
        if kind in (H5, WEIGHTS):
            with h5py.File(place) as file:
                old = "model_config" in file.attrs or "layer_names" in file.attrs
                version = file.attrs.get("keras_version", "" if old else None)
        elif kind == JSON:
            version = _version_of_layers(architecture(place))
        elif place.is_dir():
            version = json.loads((place / "metadata.json").read_text()).get("keras_version")
        else:
            with zipfile.ZipFile(place) as archive:
                version = json.loads(archive.read("metadata.json")).get("keras_version")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None  # opening the file reports what is wrong with it
    if isinstance(version, bytes):
        return version.decode()
    return None if version is None else str(version)


def _version_of_layers(config: Any) -> str | None:
    """Return the version of layers as JSON: Keras 1 and 2 store it, Keras 3 has other keys."""
    if "keras_version" in config:
        return str(config["keras_version"])
    return "3" if "module" in config or '"batch_shape"' in json.dumps(config) else None


def _version_of_checkpoint(prefix: Path) -> str | None:
    """Return the Keras version of a checkpoint: only Keras 2 numbers the layers in it."""
    index = prefix.with_name(f"{prefix.name}.index").read_bytes()
    return "2-tf" if b"layer_with_weights-" in index else None


def configuration_in(file: ModelFile) -> Any:
    """Return the configuration of the model in a file as JSON, None if it cannot be read."""
    try:
        if file.kind == H5:
            with h5py.File(file.place) as opened:
                return json.loads(opened.attrs["model_config"])
        if file.kind == JSON:
            return architecture(file.place)
        if file.place.is_dir():
            return json.loads((file.place / "config.json").read_text(encoding="utf-8"))
        with zipfile.ZipFile(file.place) as archive:
            return json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
