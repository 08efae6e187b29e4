"""The Keras side, writing: from a traced model to a bundle.

options        what can be asked for
plan           what the model is, and which entry points it gets
cases          the golden cases of a planned model
reading        a model read once, for one export or several
draft          all that will be written: the cases, and each format made
writing        a draft written to a folder
onnx           ONNX: convert the traced graph, put lowerings in place of the markers
onnx_cleanup   passes over the finished graph, and its names
tflite         TFLite: trace with our own loops, convert
tflite_merge   TFLite models as the signatures of one file
tflite_fuse    TFLite: fused operators where their markers stand
tflite_inplace TFLite: buffers that loops carry, written in place
tflite_editor  what is added to a TFLite model's object form
quantisation   TFLite in fewer bits, by a process of its own; quantised_tables: Embeddings
micro          files for microcontrollers
saved_model    the fall-back for a SavedModel, whose layers can no longer be read
bundle         the whole: open, draft, write, renamed into place
"""

from rnn_deploy.keras import tensorflow as tensorflow  # or says which extra is missing
