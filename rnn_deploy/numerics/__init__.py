"""Arithmetic of the recurrent cells in NumPy.

cells       one step of each cell, in the dtype of its inputs
layouts     Keras' weights in the order of ONNX's operators
linearised  one step linearised around a state
rounding    the running error bound of a float32 layer
"""
