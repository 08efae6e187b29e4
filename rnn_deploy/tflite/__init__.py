"""Write a traced model as TFLite. One file per lowering of a recurrent layer.

This module imports nothing: the processes of quantise/worker and micro/worker must not load Keras.

format      the description of the format and its options; imports no TensorFlow
files       write the format's file into a bundle
writer      trace with our loops, convert, restore the names of the signature
choice      choose the lowering of each layer
inplace     a WHILE of a few steps per iteration that writes its outputs in place
loop        WHILEs over blocks: one input product per block, then a few steps per iteration
unrolled    every step written out, for a fixed length
fused       the operators UNIDIRECTIONAL_SEQUENCE_RNN and _LSTM
step        one step of each cell, used by the loops and by unrolled
flatbuffer/ edits of the converted file: merge, fuse, alias buffers, pack
quantise/   fewer bits for weights and activations
micro/      the format for TFLite-Micro
"""
