"""The one place where TensorFlow and Keras are imported; quietly, and with one backend.

TensorFlow's native code writes start-up lines to file descriptor 2 whatever its log level, so
they are held back at the descriptor and shown only if the import fails.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rnn_deploy.errors import InputError
from rnn_deploy.optional import require


@contextmanager
def native_stderr_held_back() -> Iterator[None]:
    """Hold back what native code writes to descriptor 2; show it if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _import_quietly() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        return
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with native_stderr_held_back(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require("tensorflow")
        require("keras")


_import_quietly()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

if keras.config.backend() != "tensorflow":
    raise InputError(
        f"Keras runs on the backend '{keras.config.backend()}' here; rnn-deploy reads models"
        " through TensorFlow: set KERAS_BACKEND=tensorflow before Keras is imported"
    )

__all__ = ["keras", "native_stderr_held_back", "tf"]
