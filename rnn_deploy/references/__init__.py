"""Keras side, second part: what the original model computes, and what is true of it.

reference       outputs and states of the original model, float32 and float64 (the oracle)
samples         seeded random inputs
golden          golden vectors for every check
golden_special  golden vectors for one check only: long, masked, extreme
rows            whether rows of a batch depend on each other
probing         whether chunks give what the whole sequence gives
proving         compare the references with each other
layer_outputs   outputs of every layer, for the search for the first wrong one
"""

from rnn_deploy.keras import tensorflow as tensorflow  # raises the error that names the extra
