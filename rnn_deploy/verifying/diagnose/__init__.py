"""Find out where a runtime is wrong, and why.

failure_log     the failures of a runtime, and which of them to localise
localise        the first wrong place, and the smallest input that shows it
finding         that place as a value and in words
suspects        the common faults of a recurrent layer
one_weight      the single wrong weight that explains the values
explain         the fault that explains the values
by_layer        the first layer whose output differs
inner           a bundle that also outputs every layer's values, by inner_onnx and inner_tflite
file_verdicts   the wrong files of a bundle
weight_relation how a stored tensor differs from the weights of its layer
original_model  the Keras model as functions, to explain faults with
"""
