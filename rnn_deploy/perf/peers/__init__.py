"""Peers: the same Keras model, exported by other tools, to measure beside ours.

    Keras model --one builder per peer--> files in a temporary folder --> Contender

model       the Keras model of a bundle, and its call as a function of tensors
build       the peers by name
candidates  the same model in other lowerings of rnn_deploy
"""

from rnn_deploy.keras import tensorflow as tensorflow  # raises an error that names the extra
