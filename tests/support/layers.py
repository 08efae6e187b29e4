"""Recurrent layers with random weights, as the package describes them."""

import numpy as np

from rnn_deploy.spec import RecurrentLayer

GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4}


def layer_of(rng, width=3, units=4, cell="simple_rnn", **changes):
    """A RecurrentLayer with random weights."""
    columns = GATES[cell] * units
    rows = (2,) if cell == "gru" and changes.get("reset_after") else ()
    facts = {
        "name": "rnn",
        "cell": cell,
        "units": units,
        "kernel": (0.4 * rng.standard_normal((width, columns))).astype(np.float32),
        "recurrent_kernel": (0.4 * rng.standard_normal((units, columns))).astype(np.float32),
        "bias": (0.4 * rng.standard_normal((*rows, columns))).astype(np.float32),
        "activation": "tanh",
        "go_backwards": False,
        "return_sequences": True,
        "steps": None,
        "initial_state": False,
        "recurrent_activation": "linear" if cell == "simple_rnn" else "sigmoid",
    }
    return RecurrentLayer(**facts | changes)


def states_of(rng, layer, batch):
    return tuple(rng.standard_normal((batch, layer.units)) for _ in layer.roles)
