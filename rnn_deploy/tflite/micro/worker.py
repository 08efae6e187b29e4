"""Load one file in TFLite-Micro's interpreter, run it, and find the arena it needs.

Runs in a worker process, since the interpreter ends its process when its arena is too small.
Imports nothing of this package, whose Keras side would bring TensorFlow with it.
"""

import os
import subprocess
import sys

import numpy as np
from tflite_micro.python.tflite_micro import runtime

ALIGNMENT = 16
PLENTY = 64 << 20
ALONE = """
import sys
sys.path[:] = {path!r}
from {module} import run
run(sys.stdin.buffer.read(), {arena})
"""


def run(content: bytes, arena: int) -> None:
    """Run the model once on zeros, with an arena of so many bytes."""
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)
    for index in range(len(runtime.convert_bytearray_to_object(content).subgraphs[0].inputs)):
        details = interpreter.get_input_details(index)
        interpreter.set_input(np.zeros(details["shape"], details["dtype"]), index)
    interpreter.invoke()


def fits(content: bytes, arena: int) -> bool:
    """Return whether the model runs in an arena of so many bytes; a process that may end tries."""
    if not hasattr(os, "fork"):  # Windows
        words = [sys.executable, "-c", ALONE.format(path=sys.path, module=__name__, arena=arena)]
        return (
            subprocess.run(words, input=content, capture_output=True, check=False).returncode == 0
        )
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            run(content, arena)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def smallest_arena(content: bytes) -> int:
    """Return the fewest bytes that the model runs in, a multiple of ALIGNMENT.

    Runs it with plenty first, so that an operator that is missing is named on standard error.
    """
    run(content, PLENTY)
    most = 1024
    while not fits(content, most):
        most *= 2
    least = most // 2
    while most - least > ALIGNMENT:
        middle = (least + most) // 2 // ALIGNMENT * ALIGNMENT
        least, most = (least, middle) if fits(content, middle) else (middle, most)
    return most
