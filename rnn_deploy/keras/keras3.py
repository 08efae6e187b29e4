"""Open files that Keras 3 wrote: whole models, and layers without weights."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnn_deploy.errors import InputError, RnnDeployError, UnsupportedModelError, one_line
from rnn_deploy.keras import compat
from rnn_deploy.keras.kinds import (
    CHECKPOINT,
    H5,
    WEIGHTS,
    ModelFile,
    architecture,
    configuration_in,
)
from rnn_deploy.keras.tensorflow import keras, tf
from rnn_deploy.keras.unknown_class import name_in, unknown_class

Known = Mapping[str, Any]
_FROM_PYTHON = "build its layers in Python and add --model-from FILE.py:FUNCTION"


def open_whole(file: ModelFile, known: Known, *, trust_source: bool) -> Any:
    """Open a .keras or .h5 file of Keras 3. known: the user's classes and functions by name."""
    # An .h5 file has only the class names of the operations between layers.
    named = {**compat.operations(), **known} if file.kind == H5 else dict(known)
    with _loading(file), with_ending(file.place, file.kind) as place:
        return keras.saving.load_model(
            place, custom_objects=named, compile=False, safe_mode=not trust_source
        )


def open_layers(file: ModelFile, known: Known, *, trust_source: bool) -> Any:
    """Build the model of a JSON file of Keras 3, with new random weights."""
    with _loading(file):
        return keras.saving.deserialize_keras_object(
            architecture(file.place), custom_objects=dict(known), safe_mode=not trust_source
        )


def load_weights(model: Any, file: ModelFile) -> None:
    """Load the weights of a file into a model of Keras 3."""
    with loading_weights(file):
        if file.kind == CHECKPOINT:
            _restore(model, file)
            return
        ending = file.kind
        if ending == WEIGHTS:
            ending = ".weights.h5" if file.version is None else H5
        with with_ending(file.place, ending) as place:
            model.load_weights(place)


def _restore(model: Any, file: ModelFile) -> None:
    names = [name for name, _ in tf.train.list_variables(str(file.place))]
    if any("layer_with_weights-" in name for name in names):
        raise InputError(
            "E-SOURCE-WEIGHTS",
            f"{file.place}: Keras 2 wrote this checkpoint, and the model is one of Keras 3; build"
            " it with tf_keras: import tf_keras as keras",
        )
    within = any(name.startswith("model/") for name in names)
    checkpoint = tf.train.Checkpoint(model=model) if within else tf.train.Checkpoint(model)
    checkpoint.read(str(file.place)).assert_existing_objects_matched().expect_partial()


@contextmanager
def loading_weights(file: ModelFile) -> Iterator[None]:
    """Convert any exception for weights that do not fit to one clear error."""
    try:
        yield
    except RnnDeployError:
        raise
    except Exception as error:  # Keras raises many types
        raise InputError(
            "E-SOURCE-WEIGHTS",
            f"{file.place}: these weights, written by {file.written_by}, do not fit the model"
            f" ({one_line(error)}); give the weights of this model, or build the same layers in the"
            " same order",
        ) from error


@contextmanager
def with_ending(place: Path, ending: str) -> Iterator[Path]:
    """Yield a path of the same file with the ending that Keras expects."""
    if place.is_dir() or place.name.endswith(ending):
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / f"model{ending}"
        try:
            os.link(place.resolve(), named)
        except OSError:  # another drive, or a file system without links
            shutil.copyfile(place, named)
        yield named


@contextmanager
def _loading(file: ModelFile) -> Iterator[None]:
    try:
        yield
    except RnnDeployError:
        raise
    except Exception as error:  # Keras raises many types
        whole = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # remove Keras' bold text
        if "safe_mode" in whole or "unsafe" in whole.lower():
            raise code_in(file.place) from error
        # Keras prints the whole configuration first, and the exception at the end.
        message = " ".join(whole.rpartition("Exception encountered: ")[2].split())[:300]
        name = name_in(whole.rpartition("Exception encountered: ")[2]) or name_in(whole)
        if name is not None:
            raise unknown_class(file.place, name, configuration_in(file)) from error
        raise InputError(
            "E-SOURCE-UNREADABLE",
            f"{file.place}: written by {file.written_by}, and Keras {keras.__version__} cannot load"
            f" it ({message}); copy the whole file again, or, if it is whole, {_FROM_PYTHON}",
        ) from error


def code_in(place: Path) -> UnsupportedModelError:
    """Return the error for a file that contains Python code."""
    return UnsupportedModelError(
        "E-SOURCE-CODE",
        f"{place}: contains Python code (a Lambda layer), which is not run by default;"
        " add --trust-source if you trust the source of the file",
    )
