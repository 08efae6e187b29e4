"""The description of a format, the known formats, and the input of their writers.

base        `Format`: the description of a format, and the contract of its writer
registry    formats by name: the built-in ones, and Python entry points of other packages
options     `ExportOptions`: how to export, with the options that formats declare
lowerings   choose the lowering of each layer; shared by all formats
read_model  the plan, golden vectors and references of a model, as writers receive them

base, registry, options and lowerings import neither TensorFlow nor onnx, so that `--help` is fast.
"""
