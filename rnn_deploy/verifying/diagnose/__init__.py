"""Find out where and why an artifact differs.

localise     the first place that differs, and the smallest input that shows it
suspects     the usual faults; explain picks the one that fits
one_weight   a single wrong weight
by_layer     the first layer that differs; inner, inner_onnx, inner_tflite: outputs within a file
blame        which file of a bundle is wrong
failures     faults that end a runtime
finding      a finding as one value
original     the Keras model that the bundle was made from
"""
