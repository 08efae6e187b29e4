"""The Keras side, reading: from a file or a live model to layers, graphs and reference values.

tensorflow   the one place where TensorFlow is imported, quietly
opening      .keras, .h5, SavedModel or a live model, safely
signature    names, shapes and dtypes of a model's inputs and outputs
intercept    stand in for the recurrent layers' loops while a model is called
reading      a Keras layer as a RecurrentLayer, or the reason why not
tracing      the model's graph with a marker where each recurrent loop was
reference    the original model's outputs and states, in float32 and in float64
samples      seeded inputs
golden       golden vectors from the reference
"""

from rnn_deploy.source import tensorflow as tensorflow  # or says which extra is missing
