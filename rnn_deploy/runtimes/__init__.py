"""The runtimes: what executes a model file, one module each, behind one small interface.

base          RunOptions, Runner, Runtime
registry      the runtimes by name, and which of them are here
feeds         check the inputs of a call before a runtime sees them
onnxruntime   ort-cpu, ort-cuda
litert        litert
openvino      openvino-cpu
tflite_micro  tflite-micro
tuned         tuned: the others, by the rules of a bundle's plan
placement     which nodes a runtime misplaced
isolation     a runtime in a process of its own, under a time limit
worker        the server in that process
binding       an ONNX Runtime session on memory of its own, where a stream's states stay
split         the rows of a batch in parts, side by side
artifact      a model file without a bundle
machine       this machine, as far as speed depends on it
fake          a runtime in NumPy for tests
"""
