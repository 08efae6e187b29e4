"""Write a traced model as ONNX. One file per lowering of a recurrent layer.

format         the description of the format and its options; imports no TensorFlow
files          write the format's files into a bundle
writer         convert the trace, replace the markers by lowerings, check
choice         choose the lowering of each layer
costs          the measured costs that the choice compares
expected       the expected shapes of calls, for which the choice optimises
profiles       the lowerings that each profile's runtimes compute wrongly
native         the operators RNN, GRU, LSTM
scan           one input product for all steps, then a Scan of small steps
unrolled       every step written out, for a fixed length
step           one step of each cell, used by scan and unrolled
masks          masked steps for the native operators: move the counted steps to the front
bidirectional  two directions in one operator
activations    activations, as attributes of the operators and as nodes
calls          lower one call of a recurrent layer
float64        rewrite for models that compute in float64
ops            write ONNX nodes
tf2onnx_graph  the only module that calls tf2onnx
cleanup        passes over the finished graph; names of nodes and values
metadata       opset and metadata entries of the file
test_data      golden vectors in the layout of ONNX test data
saved_model    convert the function of a SavedModel, whose layers are unknown

A lowering has `support(layer)` and `lower(ops, layer, x, states, mask)`. To add one, write its file
and add its name to `format.LOWERINGS`.
"""
