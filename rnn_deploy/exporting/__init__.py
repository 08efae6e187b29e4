"""The Keras side, last part: from an opened model to a bundle, whatever its formats are.

pipeline     the whole export: open, read, write each format, rename into place
plan         what the model is, and which entry points it gets
sizes        the batch: as the model has it, remembered, or as the options say
open_time    a number of steps that the model fixes, opened
cases        golden cases of a planned model
real_inputs  --samples and --calibration: check them, cut them into batches, draw from them
reading      read a model once, for one export or several
saved_model  the fall-back for a SavedModel, whose layers can no longer be read
writing      golden vectors, proof and manifest

The options are in formats/options.py, the formats' writers in onnx/, tflite/ and other packages.
"""

from rnn_deploy.keras import tensorflow as tensorflow  # raises the error that names the extra
