"""Lowerings: the ways to write a recurrent layer in a target format, one file each.

    choice            which lowering a layer gets, and why
    onnx_native       ONNX: the operators RNN, GRU, LSTM
    onnx_scan         ONNX: the input product for all steps at once, then a Scan of small steps
    onnx_unrolled     ONNX: every step written out, for a fixed length
    onnx_step         one step of each cell in ONNX nodes, for scan and unrolled
    onnx_ops          how a lowering writes ONNX nodes
    onnx_activations  activations, as attributes of RNN and as nodes
    tflite_choice     the same for TFLite
    tflite_inplace    TFLite: a WHILE of a few steps a turn, outputs written in place
    tflite_loop       TFLite: WHILEs of blocks, one input product each, and of a few steps
    tflite_unrolled   TFLite: every step written out, for a fixed length
    tflite_fused      TFLite: the operators UNIDIRECTIONAL_SEQUENCE_RNN and _LSTM
    tflite_step       one step of each cell in TensorFlow operations, for loops and unrolled

A lowering of ONNX has `support(layer)` and `lower(ops, layer, x, states, mask)`; to add one, write
its file and a line in `choice.ONNX_LOWERINGS`.
"""

from rnn_deploy.source import tensorflow as tensorflow  # or says which extra is missing
