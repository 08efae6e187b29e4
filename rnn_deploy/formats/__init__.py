"""What a format is, which formats there are, and what their writers read.

base        `Format`: the description of a format, and the contract of its writer
registry    formats by name: the built-in ones, and Python entry points of other packages
options     `ExportOptions`: how to export, with the options that formats declare
lowerings   which lowering a layer gets: what the formats' choices share
read_model  the plan, golden vectors and references of a model, as writers get them

base, registry, options and lowerings import neither TensorFlow nor onnx, so that `--help` is fast.
"""
