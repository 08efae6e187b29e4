"""Models whose recurrent layers receive a mask."""

from typing import Any

from rnn_deploy.conformance.layers import Build, layer
from rnn_deploy.keras.tensorflow import keras


def masked(
    stages: int = 1, embedding: bool = False, time: int | None = None, **options: Any
) -> Build:
    """Return a builder of recurrent layers with a mask, from Masking or from an Embedding."""

    def build() -> Any:
        if embedding:
            x = inputs = keras.Input((None,), dtype="int32", name="ids")
            x = keras.layers.Embedding(6, 3, mask_zero=True)(x)
        else:
            x = inputs = keras.Input((time, 3), name="x")
            x = keras.layers.Masking(-1.5)(x)
        for stage in range(stages - 1):
            x = layer(f"before{stage}", 4, options.get("kind", "GRU"), return_sequences=True)(x)
        return keras.Model(inputs, layer(**options)(x), name="masked")

    return build


def mask_as_input() -> Any:
    x = keras.Input((None, 3), name="x")
    mask = keras.Input((None,), dtype="bool", name="counts")
    y = keras.layers.GRU(4, return_sequences=True, name="rnn")(x, mask=mask)
    return keras.Model([x, mask], y, name="explicit")


def masked_bidirectional(mode: str | None) -> Build:
    def build() -> Any:
        x = inputs = keras.Input((None,), dtype="int32", name="ids")
        x = keras.layers.Embedding(6, 3, mask_zero=True)(x)
        rnn = layer("rnn", 4, "LSTM", return_sequences=mode is not None)
        y = keras.layers.Bidirectional(rnn, merge_mode=mode or "concat", name="both")(x)
        return keras.Model(inputs, y, name="masked_both")

    return build


def masked_decoder(**options: Any) -> Build:
    def build() -> Any:
        x = keras.Input((None, 3), name="x")
        counts = keras.Input((None,), dtype="bool", name="counts")
        given = keras.Input((4,), name="given")
        # Give the state by name: otherwise Keras does not pass on the mask of the sequence.
        rnn = layer("rnn", 4, "GRU", return_state=True, **options)
        y, h = rnn(x, initial_state=given, mask=counts)
        return keras.Model([x, counts, given], [y, h], name="masked_decoder")

    return build


def masked_cells(**options: Any) -> Build:
    def build() -> Any:
        x = inputs = keras.Input((None, 3), name="x")
        x = keras.layers.Masking(0.0)(x)
        cells = [keras.layers.LSTMCell(4), keras.layers.SimpleRNNCell(5)]
        return keras.Model(inputs, keras.layers.RNN(cells, name="rnn", **options)(x), name="cells")

    return build


def masked_conv() -> Any:
    x, counts = (
        keras.Input((None, 4, 2), name="x"),
        keras.Input((None,), dtype="bool", name="counts"),
    )
    y = keras.layers.ConvLSTM1D(2, 2, return_sequences=True, name="rnn")(x, mask=counts)
    return keras.Model([x, counts], y, name="masked_conv")


def masked_within_steps() -> Any:
    x = keras.Input((None, 4, 3), name="x")
    counts = keras.Input((None, 4), dtype="bool", name="counts")
    y = keras.layers.TimeDistributed(layer("inner", 3, "GRU"), name="each")(x, mask=counts)
    return keras.Model([x, counts], y, name="masked_steps")
