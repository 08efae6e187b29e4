"""The runtimes: what executes an artifact, one file each, behind one small interface.

base          RunOptions, Runner, Runtime
registry      the runtimes by name, and which of them are here
feeds         checks what is fed before a runtime sees it
onnxruntime   ort-cpu, ort-cuda
placement     where ONNX Runtime really put each node
isolation     a runtime in a process of its own, under a time limit
worker        that process
litert        litert
stream        Stream, the one object that carries state
stream_batch  StreamBatch, many streams in one call
binding       an ONNX Runtime session on memory of its own, where a stream's states stay
plain         plain arrays for one input or output
model         a bundle on a runtime: predict, stream
fake          a runtime in NumPy for tests
"""
