"""Models around recurrent layers: several inputs, nesting, other layers before and after."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

from rnn_deploy.conformance.layers import Build, layer
from rnn_deploy.keras.tensorflow import keras


def encoder_decoder(kind: str, time: int | None = None) -> Build:
    def build() -> Any:
        source = keras.Input((time, 3), name="source")
        target = keras.Input((time, 2), name="target")
        _, *states = layer("encoder", 5, kind, return_state=True)(source)
        y = layer("decoder", 5, kind, return_sequences=True)(target, initial_state=states)
        outputs = keras.layers.Dense(2, name="y")(y)
        return keras.Model([source, target], outputs, name="translate")

    return build


def state_as_input() -> Any:
    x = keras.Input((None, 3), name="x")
    state = keras.Input((4,), name="given")
    outputs = keras.layers.SimpleRNN(4, return_sequences=True, return_state=True, name="rnn")(
        x, initial_state=state
    )
    return keras.Model([x, state], list(outputs), name="given_state")


def shared_twice() -> Any:
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    rnn = keras.layers.SimpleRNN(4, name="rnn")
    y = keras.layers.Concatenate(name="y")([rnn(a), rnn(b)])
    return keras.Model([a, b], y, name="siamese")


def nested() -> Any:
    inner_in = keras.Input((None, 3))
    inner = keras.Model(inner_in, layer("rnn", 4, return_sequences=True)(inner_in), name="inner")
    x = keras.Input((None, 3), name="x")
    y = layer("rnn", 4)(inner(x))
    return keras.Model(x, y, name="outer")


def tokens() -> Any:
    x = inputs = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(11, 4, name="embedding")(x)
    x = layer("rnn", 6, return_sequences=True)(x)
    y = keras.layers.Dense(11, activation="softmax", name="next")(x)
    return keras.Model(inputs, y, name="tokens")


def around() -> Any:
    """Return layers before, between and after, none of which looks along time."""
    x = inputs = keras.Input((None, 3), name="x")
    x = keras.layers.Dense(4, activation="relu")(x)
    x = keras.layers.LayerNormalization()(x)
    x = layer("first", 5, return_sequences=True, dropout=0.3, recurrent_dropout=0.2)(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Concatenate()([x, layer("second", 4, return_sequences=True)(x)])
    return keras.Model(inputs, keras.layers.Dense(2, name="y")(x), name="around")


def time_distributed(kind: str) -> Build:
    def build() -> Any:
        inner = {
            "dense": keras.layers.Dense(3, activation="relu"),
            "norm": keras.layers.LayerNormalization(),
            "model": keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(2)]),
            "conv": keras.layers.Conv1D(2, 2),
        }[kind]
        x = inputs = keras.Input((None, 4, 3) if kind == "conv" else (None, 3), name="x")
        x = keras.layers.TimeDistributed(inner, name="each")(x)
        if kind == "conv":
            x = keras.layers.TimeDistributed(keras.layers.Flatten(), name="flat")(x)
        x = layer("rnn", 4, return_sequences=True)(x)
        y = keras.layers.TimeDistributed(keras.layers.Dense(2), name="y")(x)
        return keras.Model(inputs, y, name="distributed")

    return build


def several_lengths(first: int | None, second: int | None) -> Build:
    def build() -> Any:
        x, z = keras.Input((first, 3), name="x"), keras.Input((second, 2), name="z")
        both = [layer("a", 4, "GRU")(x), layer("b", 3, "LSTM")(z)]
        return keras.Model([x, z], keras.layers.Concatenate(name="y")(both), name="lengths")

    return build


def sharing_steps(kind: str) -> Build:
    """Return a builder of layers whose input, with a fixed number of steps, others read too."""

    def build() -> Any:
        x = keras.Input((7, 3), name="x")
        first = layer("first", 4, kind, return_sequences=True)(x)
        second = layer("second", 3, kind, return_sequences=True)(first)
        last = layer("last", 5, kind)(x)
        repeated = keras.layers.RepeatVector(7)(last)
        back = layer("back", 3, kind, return_sequences=True, go_backwards=True)(repeated)
        outputs = keras.layers.Concatenate(name="y")([first, second, back])
        return keras.Model(x, [outputs, last], name="sharing")

    return build


def looking_back() -> Any:
    """Return a convolution that looks 20 steps back, further than any short case."""
    x = inputs = keras.Input((None, 3), name="x")
    x = keras.layers.Conv1D(3, 2, dilation_rate=20, padding="causal")(x)
    return keras.Model(inputs, layer("rnn", 4, "GRU", return_sequences=True)(x), name="back")


def pooled() -> Any:
    x = inputs = keras.Input((None, 3), name="x")
    x = layer("rnn", 4, return_sequences=True)(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="y")(x), name="pooled")


def sequential() -> Any:
    layers = [keras.Input((None, 3)), layer("rnn", 4, return_sequences=True), layer("last", 5)]
    return keras.Sequential([*layers, keras.layers.Dense(2)], name="sequential")


def recurrent_steps(kind: str) -> Build:
    """Return a builder of a recurrent layer within each step of another."""

    def build() -> Any:
        x = inputs = keras.Input((None, 4, 3), name="x")
        inner = layer("inner", 3, "GRU")
        if kind == "both":
            inner = keras.layers.Bidirectional(layer("inner", 3, "LSTM"), name="both")
        if kind == "model":
            stack = [layer("inner", 3, "LSTM", return_sequences=True), keras.layers.Flatten()]
            inner = keras.Sequential([keras.Input((4, 3)), *stack])
        x = keras.layers.TimeDistributed(inner, name="each")(x)
        y = layer("outer", 4, "LSTM", return_sequences=True)(x)
        return keras.Model(inputs, y, name="steps")

    return build


def dictionaries() -> Any:
    """Return a model with inputs and outputs by name."""
    inputs = {
        "left": keras.Input((None, 3), name="left"), "right": keras.Input((None, 2), name="right"),
    }  # fmt: skip
    both = keras.layers.Concatenate()(list(inputs.values()))
    y, h, c = layer("rnn", 4, "LSTM", return_sequences=True, return_state=True)(both)
    last = keras.layers.Dense(2)(keras.layers.Concatenate()([h, c]))
    return keras.Model(inputs, {"steps": y, "last": last}, name="dictionaries")


def through_file(suffix: str) -> Build:
    """Return a builder of a model that was saved and loaded again."""

    def build() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / f"model{suffix}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Keras warns about .h5 files
                around().save(place)
            return keras.saving.load_model(place, compile=False)

    return build


def stateful(kind: str) -> Build:
    def build() -> Any:
        inputs = keras.Input(batch_shape=(2, None, 3), name="x")
        rnn = layer("rnn", 4, kind, stateful=True, return_sequences=True)
        return keras.Model(inputs, rnn(inputs), name="stateful")

    return build


def in_policy(policy: str) -> Build:
    """Return a builder of a model whose layers compute in another precision."""

    def build() -> Any:
        x = inputs = keras.Input((None, 3), name="x")
        x = keras.layers.Dense(4, activation="elu", dtype=policy)(x)
        for index, kind in enumerate(("SimpleRNN", "GRU", "LSTM")):
            x = layer(f"rnn{index}", 4, kind, return_sequences=True, dtype=policy)(x)
        return keras.Model(inputs, keras.layers.Dense(2, dtype=policy)(x), name="policy")

    return build


def headed(activation: str) -> Build:
    """Return a builder of a Dense layer with an activation after a recurrent one."""

    def build() -> Any:
        inputs = keras.Input((None, 3), name="x")
        x = layer("rnn", 4, return_sequences=True)(inputs)
        return keras.Model(inputs, keras.layers.Dense(3, activation=activation)(x), name="headed")

    return build


def attended(kind: str) -> Build:
    """Return a builder of attention over the steps of recurrent layers."""

    def build() -> Any:
        inputs = keras.Input((None, 3), name="x")
        steps = keras.layers.Bidirectional(layer("rnn", 4, "LSTM", return_sequences=True))(inputs)
        if kind == "heads":
            y = keras.layers.MultiHeadAttention(2, 4)(steps, steps)
        elif kind == "heads-looking-back":
            y = keras.layers.MultiHeadAttention(2, 4)(steps, steps, use_causal_mask=True)
        else:
            y = keras.layers.AdditiveAttention()([steps, steps])
        return keras.Model(inputs, layer("after", 3, "GRU")(y), name="attended")

    return build


def scores() -> Any:
    """Return a model of unit vectors and their attention: a value for each pair of steps."""
    inputs = keras.Input((None, 3), name="x")
    steps = layer("rnn", 4, "GRU", return_sequences=True)(keras.layers.UnitNormalization()(inputs))
    attention = keras.layers.Attention(name="attended")
    found, each = attention([steps, steps], return_attention_scores=True)
    return keras.Model(inputs, [found, each], name="scores")


def chosen() -> Any:
    """Return the likeliest class of each step, and the two likeliest of the last."""
    inputs = keras.Input((None, 3), name="x")
    y = keras.layers.Dense(5)(layer("rnn", 4, "GRU", return_sequences=True)(inputs))
    values, places = keras.ops.top_k(y[:, -1], 2)
    likeliest = keras.ops.argmax(y, axis=-1)
    return keras.Model(inputs, {"class": likeliest, "two": places, "scores": values}, name="chosen")


def shifted_tokens() -> Any:
    """Return a decoder of all target ids but the last, and an encoder with another length."""
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    weight = keras.Input((None, 1), name="weight")  # as long as the target
    embedding = keras.layers.Embedding(9, 3)
    state = layer("encoder", 4, "GRU")(embedding(source))
    steps = embedding(keras.ops.flip(target, 1)) * weight
    y = layer("decoder", 4, "GRU", return_sequences=True)(steps, initial_state=state)
    return keras.Model([source, target, weight], keras.layers.Dense(9)(y), name="shifted")


def partly_used() -> Any:
    """Return a nested model in which one layer's output is not used."""
    inner_in = keras.Input((None, 3))
    both = [layer("aside", 4, "LSTM")(inner_in), layer("rnn", 4, return_sequences=True)(inner_in)]
    x = keras.Input((None, 3), name="x")
    return keras.Model(x, keras.Model(inner_in, both, name="inner")(x)[1], name="partly")
