"""Import TensorFlow and Keras, with one backend and few log lines; no other module imports them."""

import os
import sys
import warnings

from rnn_deploy.errors import InputError
from rnn_deploy.optional import require

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The user's environment must not change the meaning of a model file.
if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow"
if "tensorflow" not in sys.modules:
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    first = "keras" not in sys.modules
    for package in ("tensorflow", "keras", "onnx", "onnx_ir", "tf2onnx"):
        require(package)
    if first:  # and neither may the settings in ~/.keras/keras.json
        config = require("keras").config
        config.set_floatx("float32")
        config.set_epsilon(1e-7)
        config.set_image_data_format("channels_last")

import keras
import tensorflow as tf

if keras.config.backend() != "tensorflow":
    raise InputError(
        "E-EXPORT-BACKEND",
        f"Keras runs on the backend '{keras.config.backend()}', but rnn-deploy reads models through"
        " TensorFlow; save the model with model.save('M.keras') and run rnn-deploy export M.keras,"
        " or set KERAS_BACKEND=tensorflow before Keras is imported",
    )

__all__ = ["keras", "tf"]
