"""The package for NVIDIA's Triton: a model repository, golden vectors, and a check of a server.

packager    the models in the repository, and their files
config      a model's configuration, and its text in config.pbtxt
graph       the inputs and outputs of an ONNX file, and contradictions with a configuration
golden      golden vectors and facts for the check of a running server
templates   programs in the package: the Python backend's model, the check of a server
"""
