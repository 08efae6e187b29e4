"""Keras side, first part: open a model, read its recurrent layers, trace the rest.

tensorflow      the only module that imports TensorFlow and Keras, quietly
compat          every private name of Keras and TensorFlow, with the versions it was checked on
seams           check that Keras still calls the functions that are replaced
precision       compute a model in float32 or float64
access          private attributes of models and layers
keras2          models and files of Keras 1 and 2, through tf_keras
defaults        Keras' own defaults, independent of the user's settings
kinds           the kind of a file, and the Keras version that wrote it
opening         a file, a part of a model, a SavedModel or a live model, in safe mode
keras3          files that Keras 3 wrote
user_classes    the user's classes and functions, registered or in Python files
unknown_class   the error for a class that Keras does not know
signature       names, shapes and dtypes of a model's inputs and outputs
lengths         find inputs that share one number of steps
subclassed      inputs of a model that does not declare them
originals       methods of Keras' recurrent layers, saved before they are replaced
training        layers that a model calls in training mode: normalisation, dropout
intercept       answer the calls of recurrent layers while a model is called
reading         read a Keras layer as a RecurrentLayer, or return the reason why not
step            trace one step of a custom cell
per_step        layers that run within each step of a TimeDistributed
pure            refuse calls that draw random numbers or write variables
data_dependent  refuse operators whose output shape depends on values
own_loops       name a layer with a loop of its own that a format cannot express
slices          slices, splits and rolls in operations that TFLite has
rewrites        replace operations that a format computes wrongly
ctc             remove a training model's CTC loss; greedy decoding
tracing         the model's graph with a marker in place of each recurrent loop
probing         trace with unique sizes, to name dimensions of outputs and find rows that are steps
"""

from rnn_deploy.keras import tensorflow as tensorflow  # raises an error that names the extra
