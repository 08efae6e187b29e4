"""Quantise a TFLite file, in a separate process.

quantise           float16, dynamic-int8 or int8
worker             that process
calibration        real inputs that set the ranges of activations
recurrent_weights  count the recurrent weights that were quantised
tables             quantise Embedding tables
"""
