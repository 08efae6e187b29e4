"""Write one model as each version of Keras wrote it: with tf_keras, its files then altered.

What an older version left out or named otherwise is taken from files of that version: the layers
of Keras 2.0 to 2.3, `keras.src` modules in archives of Keras 2.15, backslashes from Windows, the
twelve weights of an LSTM of Keras 1.
"""

import io
import json
import zipfile

import h5py
import numpy as np

from tests.support.keras2_files import gates, layer, write_h5

WIDTH, UNITS = 5, 4


def as_keras_1(model, place):
    """The .h5 file of Keras 1.2: gates apart, and arguments with other names."""
    kernel, recurrent, bias, *dense = model.get_weights()
    parts = {}
    for gate, index in (("i", 0), ("c", 2), ("f", 1), ("o", 3)):
        for kind, whole in (("W", kernel), ("U", recurrent), ("b", bias)):
            parts[f"{kind}_{gate}"] = np.split(whole, 4, axis=-1)[index]
    rnn = layer(
        "LSTM", "rnn", output_dim=UNITS, inner_activation="hard_sigmoid", activation="tanh",
        init="glorot_uniform", inner_init="orthogonal", forget_bias_init="one",
        consume_less="cpu", return_sequences=True, W_regularizer=None, dropout_W=0.0,
        dropout_U=0.0, input_dim=WIDTH, batch_input_shape=[None, None, WIDTH],
    )  # fmt: skip
    inner = {"class_name": "Dense", "config": {"name": "d", "output_dim": 2, "activation": "tanh"}}
    out = layer("TimeDistributed", "out", layer=inner)
    weights = {"rnn": parts, "out": dict(zip(("out_W", "out_b"), dense, strict=True))}
    return write_h5(place.with_suffix(".h5"), [rnn, out], weights, version="1.2.2")


def as_keras_2_2(model, place, version="2.2.4"):
    """The .h5 file of standalone Keras 2.0 to 2.3: no InputLayer."""
    rnn = layer("LSTM", "rnn", units=UNITS, batch_input_shape=[None, None, WIDTH], **gates())
    out = layer("Dense", "out", units=2, activation="tanh")
    names = ("kernel", "recurrent_kernel", "bias")
    weights = [model.get_weights()[:3], model.get_weights()[3:]]
    by_name = [dict(zip(names, weights[0], strict=True)),
               dict(zip(("kernel", "bias"), weights[1], strict=True))]  # fmt: skip
    named = dict(zip(("rnn", "out"), by_name, strict=True))
    return write_h5(place.with_suffix(".h5"), [rnn, out], named, version=version)


def as_keras_2_3_without_a_shape(model, place):
    """The same of a model that was built by its first call."""
    whole = as_keras_2_2(model, place, "2.3.1")
    with h5py.File(whole, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        del config["config"]["layers"][0]["config"]["batch_input_shape"]
        file.attrs["model_config"] = json.dumps(config)
    return whole


def as_h5(model, place):
    """The .h5 file of tf.keras 2.4 and later."""
    model.save(place.with_suffix(".h5"))
    return place.with_suffix(".h5")


def as_keras_2_15(model, place, separator="/"):
    """The .keras archive of Keras 2.12 to 2.15, its modules in keras.src."""
    written, place = place.with_suffix(".written.keras"), place.with_suffix(".keras")
    model.save(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(place, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "metadata.json":
                content = b'{"keras_version": "2.15.0"}'
            elif name == "config.json":
                content = content.replace(b"tf_keras.src", b"keras.src.engine")
                content = content.replace(b"tf_keras", b"keras")
            elif separator != "/":
                content = _separated(content, separator)
            target.writestr(name, content)
    return place


def as_keras_2_15_on_windows(model, place):
    """The same, written on Windows."""
    return as_keras_2_15(model, place, "\\")


def as_saved_model(model, place):
    """The folder that model.save(FOLDER) wrote."""
    model.save(place, save_format="tf")
    return place


def as_json(model, place):
    """Layers as JSON, weights beside them."""
    place.with_suffix(".json").write_text(model.to_json())
    model.save_weights(place.with_suffix(".h5"))
    return place.with_suffix(".json")


def as_weights(model, place):
    """Weights alone."""
    model.save_weights(place.with_suffix(".h5"))
    return place.with_suffix(".h5")


def as_checkpoint(model, place):
    """A TensorFlow checkpoint."""
    model.save_weights(place.with_suffix(".ckpt"), save_format="tf")
    return place.with_suffix(".ckpt")


def as_keras_3(model, place):
    """The .keras archive of Keras 3."""
    model.save(place.with_suffix(".keras"))
    return place.with_suffix(".keras")


def as_json_of_3(model, place):
    """Layers of Keras 3 as JSON, weights beside them."""
    place.with_suffix(".json").write_text(model.to_json())
    as_weights_of_3(model, place)
    return place.with_suffix(".json")


def as_weights_of_3(model, place):
    """Weights of Keras 3."""
    model.save_weights(place.with_suffix(".weights.h5"))
    return place.with_suffix(".weights.h5")


def as_exported(model, place):
    """The folder that model.export(FOLDER) of Keras 3 writes."""
    model.export(place, verbose=False)
    return place


def _separated(content, separator):
    target = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as file, h5py.File(target, "w") as other:

        def copy(name, item):
            first, _, rest = name.partition("/")
            new = f"{first}{separator}{rest}" if rest else first
            if isinstance(item, h5py.Dataset):
                other[new] = item[()]
            else:
                other.require_group(new)

        file.visititems(copy)
    return target.getvalue()
