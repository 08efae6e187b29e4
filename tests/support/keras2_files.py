"""Write .h5 files as Keras 1 and standalone Keras 2 wrote them."""

import json

import h5py
import numpy as np


def layer(kind, name, **options):
    """One layer's configuration."""
    return {"class_name": kind, "config": {"name": name, "trainable": True, **options}}


def gates(**options):
    """The arguments of an LSTM or GRU as Keras 2.0 to 2.2 wrote them."""
    usual = {
        "return_sequences": True,
        "return_state": False,
        "go_backwards": False,
        "stateful": False,
        "unroll": False,
        "activation": "tanh",
        "recurrent_activation": "hard_sigmoid",
        "use_bias": True,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
        "implementation": 1,
    }
    return usual | options


def write_h5(place, layers, weights, version="2.2.4"):
    """A Sequential model: configurations of its layers, and {layer: {weight: array}}."""
    config = layers if version.startswith("1") else {"name": "old", "layers": layers}
    with h5py.File(place, "w") as file:
        model = {"class_name": "Sequential", "config": config}
        file.attrs["model_config"] = np.bytes_(json.dumps(model))
        group = file.create_group("model_weights")
        for place_of in (file, group):
            place_of.attrs["keras_version"] = np.bytes_(version)
            place_of.attrs["backend"] = np.bytes_("tensorflow")
        names = [one["config"]["name"] for one in layers]
        group.attrs["layer_names"] = np.array([name.encode() for name in names])
        for name in names:
            own = group.create_group(name)
            arrays = weights.get(name, {})
            labels = [f"{name}/{weight}:0".encode() for weight in arrays]
            own.attrs["weight_names"] = np.array(labels) if labels else np.array([], "S1")
            for label, array in zip(labels, arrays.values(), strict=True):
                own.create_dataset(label.decode(), data=array)
    return place


def sigma(x):
    """The gates' activation of Keras 1 and 2: a hard sigmoid of slope 0.2."""
    return np.clip(0.2 * x + 0.5, 0.0, 1.0)


def lstm(x, kernel, recurrent, bias, gate=sigma):
    """Every h of an LSTM over x (batch, time, width), in float64; gates i, f, c, o."""
    h = c = np.zeros((len(x), recurrent.shape[0]))
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def gru(x, kernel, recurrent, bias, gate=sigma):
    """Every h of a GRU without reset_after over x, in float64; gates z, r, h."""
    units = recurrent.shape[0]
    h = np.zeros((len(x), units))
    outputs = []
    for t in range(x.shape[1]):
        x_z, x_r, x_h = np.split(x[:, t] @ kernel + bias, 3, axis=1)
        z = gate(x_z + h @ recurrent[:, :units])
        r = gate(x_r + h @ recurrent[:, units : 2 * units])
        new = np.tanh(x_h + (r * h) @ recurrent[:, 2 * units :])
        h = z * h + (1 - z) * new
        outputs.append(h)
    return np.stack(outputs, axis=1)
