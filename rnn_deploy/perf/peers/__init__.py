"""Peers: what others make of the same Keras model, to be measured beside ours.

    Keras model --one builder per peer--> files in a temporary folder --> Contender

model   the Keras model of a bundle, and its call as a plain function of tensors
build   the peers by name
"""

from rnn_deploy.keras import tensorflow as tensorflow  # raises the error that names the extra
