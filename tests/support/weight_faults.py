"""Faults in the weights of a layer that tests of several formats plant."""

import numpy as np

WEIGHTS = ("kernel", "recurrent_kernel", "bias")


def moved_gates(layer, order):
    def moved(value):
        parts = np.split(value, len(order), axis=-1)
        return np.concatenate([parts[gate] for gate in order], axis=-1)

    return {name: moved(getattr(layer, name)) for name in WEIGHTS}


def bfloat16(value):
    bits = np.asarray(value, np.float32).view(np.uint32)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
