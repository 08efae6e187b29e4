"""Files that Keras 1 or 2 wrote, opened as tf_keras models.

Nothing in a file runs code: a Lambda layer needs `trust_source`, and modules outside Keras are not
imported.
"""

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from rnn_deploy.errors import InputError, RnnDeployError, UnsupportedModelError
from rnn_deploy.keras import access, compat
from rnn_deploy.keras.compat import find
from rnn_deploy.keras.keras2 import configuration
from rnn_deploy.keras.keras2.package import package
from rnn_deploy.keras.keras2.precision import in_precision
from rnn_deploy.keras.tensorflow import keras

Notes = tuple[str, ...]


def open_h5(place: Path, *, trust_source: bool) -> tuple[Any, Notes]:
    """Open an HDF5 file of Keras 1 or 2: the tf_keras model, and notes for the user."""
    with h5py.File(place) as file, _loading(place):
        version = _text(file.attrs.get("keras_version", ""))
        model = json.loads(_text(file.attrs["model_config"]))
        notes = _check(model, place, trust_source=trust_source)
        model = configuration.corrected(model, version)
        weights = file["model_weights"]
        shaped = configuration.with_input_shape(model, _weight_shapes(weights))
        if shaped is None:
            raise InputError(
                "E-SOURCE-NO-SHAPE",
                f"{place}: its first layer has no input shape, and none follows from its weights;"
                " build the model in Python with an Input, call model.load_weights(...), and"
                " export it: rnn_deploy.export(model, ...)",
            )
        with find("tf_keras.src.saving.serialization_lib.SafeModeScope")(not trust_source):
            opened = find("tf_keras.src.saving.legacy.model_config.model_from_config")(
                shaped, custom_objects=_custom_objects()
            )
        find("tf_keras.src.saving.legacy.hdf5_format.load_weights_from_hdf5_group")(
            _with_version(weights, version), opened
        )
    return _computing_in_floats(opened), notes


def open_archive(place: Path, *, trust_source: bool) -> tuple[Any, Notes]:
    """Open a .keras archive of Keras 2.12 to 2.15: the tf_keras model, and notes for the user."""
    with tempfile.TemporaryDirectory() as folder, _loading(place):
        copy = Path(folder) / "model.keras"
        with zipfile.ZipFile(place) as archive, zipfile.ZipFile(copy, "w") as corrected:
            version = json.loads(archive.read("metadata.json")).get("keras_version", "")
            for name in archive.namelist():
                content = archive.read(name)
                if name == "config.json":
                    model = json.loads(content)
                    notes = _check(model, place, trust_source=trust_source)
                    content = json.dumps(configuration.corrected(model, version)).encode()
                if name.endswith(".h5"):
                    content = _with_slashes(content)
                corrected.writestr(name.replace("\\", "/"), content)
        opened = package().models.load_model(
            copy, custom_objects=_custom_objects(), compile=False, safe_mode=not trust_source
        )
    return _computing_in_floats(opened), notes


def open_folder(place: Path, *, trust_source: bool) -> Any | None:
    """Open a SavedModel with Keras 2's layers; None if its layers cannot be read."""
    metadata = find("tf_keras.protobuf.saved_metadata_pb2").SavedMetadata()
    metadata.ParseFromString((place / "keras_metadata.pb").read_bytes())
    configs = [json.loads(node.metadata) for node in metadata.nodes if node.metadata]
    names = [name for config in configs for name in configuration.class_names(config)]
    if "Lambda" in names and not trust_source:
        return None  # the graph runs without the code
    try:
        opened = package().models.load_model(
            str(place), custom_objects=_custom_objects(), compile=False
        )
    except Exception:  # a class that is unknown, or a file that tf_keras cannot read
        return None
    if not _is_graph_of_layers(opened):
        return None
    return _computing_in_floats(opened)


def _is_graph_of_layers(model: Any) -> bool:
    if not access.is_model(model) or access.functional_of(model) is None:
        return False
    # A layer whose class is unknown is revived from the graph, without its configuration.
    revived = find("tf_keras.src.saving.legacy.saved_model.load").__name__
    return all(type(layer).__module__ != revived for layer in access.layers_in(model))


def _check(model: Any, place: Path, *, trust_source: bool) -> Notes:
    """Refuse code in a configuration; notes on what is left out of it."""
    if "Lambda" in configuration.class_names(model) and not trust_source:
        raise UnsupportedModelError(
            "E-SOURCE-CODE",
            f"{place}: contains Python code (a Lambda layer), which is not run by default;"
            " add --trust-source if you trust the source of the file",
        )
    own = _custom_objects()
    for module, name in configuration.foreign_modules(model):
        if name not in own and name.rpartition(">")[2] not in own:
            raise _unknown_class(place, f"{module}.{name}")
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


def _unknown_class(place: Path, name: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        "E-SOURCE-CLASS",
        f"{place}: needs a class that Keras does not know ({name}); export from Python, where your"
        " classes are registered: rnn_deploy.export(model, ...)",
    )


@contextmanager
def _loading(place: Path) -> Any:
    """Turn whatever tf_keras raises into one clear error."""
    try:
        yield
    except RnnDeployError:
        raise
    except Exception as error:  # tf_keras raises many types
        whole = str(error)
        unknown = re.search(r"Unknown \w+: '?\"?([\w.>]+)", whole)
        if unknown:
            raise _unknown_class(place, unknown[1]) from error
        message = " ".join(whole.rpartition("Exception encountered: ")[2].split())[:300]
        raise InputError(
            "E-SOURCE-UNREADABLE",
            f"{place}: written by Keras 1 or 2, and tf_keras cannot load it ({message}); build the"
            " model in Python, call model.load_weights(...), and export it:"
            " rnn_deploy.export(model, ...)",
        ) from error


def _custom_objects() -> dict[str, Any]:
    """Return the user's classes and functions, except layers of Keras 3."""
    registry = find("tf_keras.src.saving.object_registration")
    scopes = (
        compat.custom_objects(),
        package().saving.get_custom_objects(),
        vars(registry._THREAD_LOCAL_CUSTOM_OBJECTS),
    )
    return {
        name: value
        for scope in scopes
        for name, value in scope.items()
        if not (isinstance(value, type) and issubclass(value, keras.layers.Layer))
    }


def _computing_in_floats(model: Any) -> Any:
    """The model in float32, or in float64 if a layer of it is; half precision is for training."""
    computed = {layer.compute_dtype for layer in access.layers_in(model)}
    if not computed & {"float16", "bfloat16"}:
        return model
    return in_precision(model, "float64" if "float64" in computed else "float32")


def _weight_shapes(group: Any) -> Mapping[str, list[tuple[int, ...]]]:
    """The shapes of each layer's weights, in their order in the file."""
    names = [_text(name) for name in group.attrs.get("layer_names", group.keys())]
    return {
        name: [group[name][_text(w)].shape for w in group[name].attrs.get("weight_names", [])]
        for name in names
        if name in group
    }


class _WithVersion:
    """A group of an HDF5 file whose attributes say which Keras wrote it."""

    def __init__(self, group: Any, version: str) -> None:
        self._group = group
        self.attrs = dict(group.attrs) | {"keras_version": version or "1"}

    def __getitem__(self, name: str) -> Any:
        return self._group[name]

    def __contains__(self, name: str) -> bool:
        return name in self._group


def _with_version(group: Any, version: str) -> Any:
    major = version.partition(".")[0] or "1"
    return _WithVersion(group, "1" if major in ("0", "1") else version)


def _with_slashes(content: bytes) -> bytes:
    """The weights of an archive, the backslashes of Windows in their names replaced."""
    with h5py.File(io.BytesIO(content)) as file:
        names: list[str] = []
        file.visit(names.append)
        if "vars" in file and not any("\\" in name for name in names):
            return content
        target = io.BytesIO()
        with h5py.File(target, "w") as corrected:
            corrected.require_group("vars")  # the model's own weights, which it may not have

            def copy(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    corrected[name.replace("\\", "/")] = item[()]
                else:
                    corrected.require_group(name.replace("\\", "/"))

            file.visititems(copy)
        return target.getvalue()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
