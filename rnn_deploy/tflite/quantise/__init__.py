"""Quantise a TFLite file, in a separate process.

quantise           float16, dynamic-int8, int8 or int16x8
worker             that process
calibration        real inputs that set the ranges of activations
integer_io         integers as inputs, outputs and states
recurrent_weights  count the recurrent weights that were quantised
tables             quantise Embedding tables
"""
