"""The runtimes, which execute model files: one module each, behind one small interface.

base          RunOptions, Runner, Runtime
registry      the runtimes by name, and which of them are available
feeds         check the inputs of a call before a runtime sees them
onnxruntime   ort-cpu, ort-cuda
litert        litert
openvino      openvino-cpu
tflite_micro  tflite-micro
tuned         tuned: the others, by the rules of a bundle's plan
placement     find nodes that ran on another device than requested
isolation     a runtime in its own process, under a time limit
worker        the server in that process
binding       an ONNX Runtime session with its own memory, where a stream's states stay
split         run parts of a batch at the same time
artifact      a model file without a bundle
machine       the properties of this machine that affect speed
fake          a runtime in NumPy for tests
"""
