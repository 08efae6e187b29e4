"""Load one file in TFLite-Micro's interpreter, run it, and find the arena it needs.

    python -P worker.py MODEL.tflite RESULT.json

A process of its own, since the interpreter ends the process it is in when its arena is too small.
Nothing of this package is imported.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro import runtime

ALIGNMENT = 16
PLENTY = 64 << 20


def run(content: bytes, arena: int) -> None:
    """Run the model once on zeros, with an arena of so many bytes."""
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)
    for index in range(len(runtime.convert_bytearray_to_object(content).subgraphs[0].inputs)):
        details = interpreter.get_input_details(index)
        interpreter.set_input(np.zeros(details["shape"], details["dtype"]), index)
    interpreter.invoke()


def fits(content: bytes, arena: int) -> bool:
    """Whether the model runs in so many bytes, found out in a process that may end."""
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
    """The fewest bytes that the model runs in, in steps of ALIGNMENT."""
    most = 1024
    while not fits(content, most):
        most *= 2
    least = most // 2
    while most - least > ALIGNMENT:
        middle = (least + most) // 2 // ALIGNMENT * ALIGNMENT
        least, most = (least, middle) if fits(content, middle) else (middle, most)
    return most


def main(model: Path, result: Path) -> None:
    """Run it with plenty, so that what it lacks is said; then find the smallest arena."""
    content = model.read_bytes()
    run(content, PLENTY)
    result.write_text(json.dumps({"arena": smallest_arena(content)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
