"""Load weights that Keras 1 or 2 wrote into a tf_keras model."""

import io
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.keras.access import is_a, layers_in
from rnn_deploy.keras.compat import find
from rnn_deploy.keras.keras2.package import conv_rnn
from rnn_deploy.keras.keras3 import loading_weights, with_ending
from rnn_deploy.keras.kinds import ARCHIVE, CHECKPOINT, H5, JSON, SAVED_MODEL, ModelFile
from rnn_deploy.keras.tensorflow import tf

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose")


def load_weights(model: Any, file: ModelFile) -> None:
    """Load the weights of a file into a tf_keras model; raise InputError if they do not fit."""
    with loading_weights(file), ExitStack() as stack:
        if file.kind == CHECKPOINT:
            _restore(model, file.place)
        elif file.kind in (JSON, SAVED_MODEL):
            raise InputError(
                "E-SOURCE-WEIGHTS",
                f"{file.place}: contains no weights that can be loaded into another model; give an"
                " .h5 file or a checkpoint",
            )
        elif file.kind == ARCHIVE:
            copy = Path(stack.enter_context(TemporaryDirectory())) / "model.keras"
            copy_with_slashes(file.place, copy)
            model.load_weights(copy)
        else:
            opened = stack.enter_context(h5py.File(file.place))
            if file.kind != H5 and "layer_names" not in opened.attrs:
                model.load_weights(stack.enter_context(with_ending(file.place, ".weights.h5")))
            else:
                load_group(model, group_in(opened), file.version or "")


def group_in(opened: Any) -> Any:
    """Return the group with the weights in an HDF5 file with a whole model or only weights."""
    return opened.get("model_weights", opened)


def load_group(model: Any, group: Any, version: str) -> None:
    """Load the weights of an HDF5 group, written by this version of Keras."""
    find("tf_keras.src.saving.legacy.hdf5_format.load_weights_from_hdf5_group")(
        _OrderedGroup(group, version, model), model
    )
    backend = text(group.attrs.get("backend", group.file.attrs.get("backend", "")))
    if backend == "theano":
        _flip_kernels(model)


def shapes_in(group: Any) -> Mapping[str, list[tuple[int, ...]]]:
    """Return the shapes of each layer's weights, in their order in the file."""
    return {
        name: [group[name][w].shape for w in _attribute(group[name], "weight_names")]
        for name in _attribute(group, "layer_names")
        if name in group
    }


def copy_with_slashes(source: Path, target: Path) -> None:
    """Copy a .keras archive, and replace the Windows backslashes in the names of its weights."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as corrected:
        for name in archive.namelist():
            content = archive.read(name)
            corrected.writestr(
                name.replace("\\", "/"), with_slashes(content) if name.endswith(".h5") else content
            )


def with_slashes(content: bytes) -> bytes:
    """Return the weights of an archive with slashes in place of Windows backslashes in names."""
    with h5py.File(io.BytesIO(content)) as file:
        names: list[str] = []
        file.visit(names.append)
        if "vars" in file and not any("\\" in name for name in names):
            return content
        target = io.BytesIO()
        with h5py.File(target, "w") as corrected:
            corrected.require_group("vars")  # the model's own weights, which may be missing

            def copy(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    corrected[name.replace("\\", "/")] = item[()]
                else:
                    corrected.require_group(name.replace("\\", "/"))

            file.visititems(copy)
        return target.getvalue()


def text(value: Any) -> str:
    """Return an attribute of an HDF5 file as text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _restore(model: Any, prefix: Path) -> None:
    names = [name for name, _ in tf.train.list_variables(str(prefix))]
    if any(name.startswith("model/") for name in names):  # tf.train.Checkpoint(model=model)
        status = tf.train.Checkpoint(model=model).restore(str(prefix))
    else:
        status = model.load_weights(str(prefix))
    status.assert_existing_objects_matched().expect_partial()


def _flip_kernels(model: Any) -> None:
    """Reverse the kernels of convolutions: Theano mirrors them, TensorFlow does not."""
    for layer in layers_in(model):
        inner = layer.cell if isinstance(layer, conv_rnn()) else layer
        if inner is not layer or is_a(layer, *CONVOLUTIONS):
            names = ("kernel", "recurrent_kernel") if inner is not layer else ("kernel",)
            for name in names:
                kernel = getattr(inner, name)
                spatial = tuple(range(len(kernel.shape) - 2))
                kernel.assign(np.flip(kernel.numpy(), spatial))


def _attribute(group: Any, name: str) -> list[str]:
    """Return an attribute that is a list of names; a long list is split over several attributes."""
    if name in group.attrs:
        return [text(value) for value in group.attrs[name]]
    found, number = [], 0
    while f"{name}{number}" in group.attrs:
        found += [text(value) for value in group.attrs[f"{name}{number}"]]
        number += 1
    return found


class _OrderedGroup:
    """A group of an HDF5 file in the order of a model's layers, with the Keras version in it.

    tf_keras loads weights in the order of the file, which may differ from the order of the layers
    in the model.
    """

    def __init__(self, group: Any, version: str, model: Any) -> None:
        self._group = group
        names = _attribute(group, "layer_names")
        with_weights = [name for name in names if _attribute(group[name], "weight_names")]
        ours = [layer.name for layer in model.layers if layer.weights]
        if sorted(ours) == sorted(with_weights):
            names = ours
        major = version.partition(".")[0] or "1"
        named = "1" if major in ("0", "1") else version
        self.attrs = dict(group.attrs) | {"keras_version": named, "layer_names": names}

    def __getitem__(self, name: str) -> Any:
        return self._group[name]

    def __contains__(self, name: str) -> bool:
        return name in self._group
