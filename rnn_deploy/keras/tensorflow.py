"""Import TensorFlow and Keras, here and nowhere else, with one backend and few log lines."""

import os
import warnings

from rnn_deploy.errors import InputError
from rnn_deploy.optional import require

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for package in ("tensorflow", "keras", "onnx", "onnx_ir", "tf2onnx"):
        require(package)

import keras
import tensorflow as tf

if keras.config.backend() != "tensorflow":
    raise InputError(
        "E-EXPORT-BACKEND",
        f"Keras runs on the backend '{keras.config.backend()}', but rnn-deploy reads models through"
        " TensorFlow; set KERAS_BACKEND=tensorflow before Keras is imported",
    )

__all__ = ["keras", "tf"]
