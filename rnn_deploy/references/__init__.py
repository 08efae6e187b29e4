"""Keras side, second part: the results of the original model, and properties of them.

reference       outputs and states of the original model, float32 and float64 (the oracle)
samples         seeded random inputs
golden          golden vectors for every check
golden_special  golden vectors for one check only: long, masked, extreme
rows            whether the rows of a batch depend on each other
probing         the values that enter and leave a recurrent layer
proving         compare the references with each other
layer_outputs   the outputs of every layer, to find the first wrong one
"""

from rnn_deploy.keras import tensorflow as tensorflow  # raises an error that names the extra
