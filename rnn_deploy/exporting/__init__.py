"""The Keras side, writing: from a traced model to a bundle.

plan           what is asked for, and what the model is, decided before anything is written
onnx           ONNX: convert the traced graph, put lowerings in place of the markers
onnx_cleanup   passes over the finished graph, and its names
tflite         TFLite: trace with our own loops, convert
tflite_merge   TFLite models as the signatures of one file
tflite_fuse    TFLite: fused operators where their markers stand
saved_model    the fall-back for a SavedModel, whose layers can no longer be read
bundle         the whole: artifacts, golden vectors, manifest
"""

from rnn_deploy.source import tensorflow as tensorflow  # or says which extra is missing
