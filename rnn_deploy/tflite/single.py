"""A layer for TFLite as a loop of single steps, which needs the least memory.

Each iteration of the WHILE reads one row of the inputs, multiplies it and takes one step, so that
neither the products of all inputs nor several steps need memory at the same time.
"""

from rnn_deploy.spec import Recurrence, Support
from rnn_deploy.tflite.inplace import lower_singly as lower

__all__ = ["lower", "support"]


def support(layer: Recurrence) -> Support:
    """Every layer can be such a loop."""
    length = "batch and time open" if layer.steps is None else f"{layer.steps} steps"
    return Support(True, f"{length}, one step per iteration of a WHILE")
