"""Peers: the same Keras model as other exporters write it, to measure beside ours.

    Keras model --one builder per peer--> files in a temporary folder --> Contender

model       the Keras model of a bundle, and its call as a plain function of tensors
build       the peers by name
candidates  the same model in other lowerings of ours
"""

from rnn_deploy.keras import tensorflow as tensorflow  # raises the error that names the extra
