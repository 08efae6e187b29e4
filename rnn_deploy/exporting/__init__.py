"""The Keras side, last part: from an opened model to a bundle, for any format.

pipeline     the whole export: open, read, write each format, rename into place
plan         the entry points of the model, and why
sizes        the batch: as in the model, remembered from a call, or as the options set it
open_time    open a number of steps that the model fixes
cases        golden cases of a planned model
real_inputs  --samples and --calibration: check them, cut them into batches, draw from them
reading      read a model once, for one export or several
saved_model  the fall-back for a SavedModel, whose layers can no longer be read
writing      golden vectors, proof and manifest

The options are in formats/options.py, the formats' writers in onnx/, tflite/ and other packages.
"""

from rnn_deploy.keras import tensorflow as tensorflow  # raises an error that names the extra
