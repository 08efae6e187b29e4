"""The other end of tflm_stand_in.h: a model in the interpreter of the package tflite-micro."""

import struct
import sys

import numpy as np


def _numbers(count):
    return struct.unpack(f"<{count}Q", sys.stdin.buffer.read(8 * count))


def _write(content):
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def main():
    """Read the model, answer with the sizes of its tensors, then run it until no more comes."""
    from tflite_micro.python.tflite_micro import runtime

    length, arena = _numbers(2)
    content = sys.stdin.buffer.read(length)
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)
    graph = runtime.convert_bytearray_to_object(content).subgraphs[0]
    inputs = [interpreter.get_input_details(i) for i in range(len(graph.inputs))]
    outputs = [interpreter.get_output_details(i) for i in range(len(graph.outputs))]
    for details in (inputs, outputs):
        sizes = [int(np.prod(d["shape"])) * np.dtype(d["dtype"]).itemsize for d in details]
        _write(struct.pack(f"<{len(sizes) + 1}Q", len(sizes), *sizes))
    while True:
        for index, d in enumerate(inputs):
            values = np.zeros(d["shape"], d["dtype"])
            given = sys.stdin.buffer.read(values.nbytes)
            if len(given) < values.nbytes:
                return
            interpreter.set_input(np.frombuffer(given, d["dtype"]).reshape(d["shape"]), index)
        interpreter.invoke()
        _write(b"".join(interpreter.get_output(i).tobytes() for i in range(len(outputs))))


if __name__ == "__main__":
    main()
