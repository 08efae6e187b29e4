"""Models of one recurrent layer, stacked ones, and both directions of one."""

from collections.abc import Callable
from typing import Any

from rnn_deploy.keras.tensorflow import keras

Build = Callable[[], Any]


def layer(
    name: str = "rnn", units: int = 5, kind: str = "SimpleRNN", cell: bool = False, **options: Any
) -> Any:
    """Return a recurrent layer of a kind, as a layer or as a cell in RNN."""
    if not cell:
        return getattr(keras.layers, kind)(units, name=name, **options)
    of_cell = ("activation", "recurrent_activation", "use_bias", "reset_after")
    inner = {key: options.pop(key) for key in of_cell if key in options}
    one = getattr(keras.layers, f"{kind}Cell")(units, **inner)
    return keras.layers.RNN(one, name=name, **options)


def single(shape: tuple[int | None, ...] = (None, 3), **options: Any) -> Build:
    """Return a builder of a model with one recurrent layer and nothing else."""

    def build() -> Any:
        inputs = keras.Input(shape, name="x")
        return keras.Model(inputs, layer(**options)(inputs), name="single")

    return build


def list_of_cells(**options: Any) -> Build:
    def build() -> Any:
        cells = [keras.layers.LSTMCell(4), keras.layers.GRUCell(3), keras.layers.SimpleRNNCell(5)]
        inputs = keras.Input((None, 3), name="x")
        outputs = keras.layers.RNN(cells, name="rnn", **options)(inputs)
        return keras.Model(inputs, outputs, name="cells")

    return build


def stacked() -> Any:
    x = inputs = keras.Input((None, 3), name="x")
    for index, units in enumerate((4, 6, 5)):
        x = layer(f"rnn{index}", units, return_sequences=index < 2)(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="y")(x), name="stacked")


def bidirectional(
    mode: str | None, kind: str = "SimpleRNN", *, sequences: bool = True, **options: Any
) -> Build:
    def build() -> Any:
        inputs = keras.Input((None, 3), name="x")
        rnn = layer("rnn", 4, kind, return_sequences=sequences, **options)
        outputs = keras.layers.Bidirectional(rnn, merge_mode=mode, name="both")(inputs)
        return keras.Model(inputs, outputs, name="bidirectional")

    return build


def bidirectional_unlike() -> Any:
    inputs = keras.Input((None, 3), name="x")
    forward = layer("forward", 4, "GRU", return_sequences=True)
    backward = layer("backward", 5, "LSTM", return_sequences=True, go_backwards=True)
    both = keras.layers.Bidirectional(forward, backward_layer=backward, name="both")
    return keras.Model(inputs, both(inputs), name="unlike")


def bidirectional_cells() -> Any:
    inputs = keras.Input((None, 3), name="x")
    cells = [keras.layers.GRUCell(4), keras.layers.LSTMCell(3)]
    rnn = keras.layers.RNN(cells, return_sequences=True, name="rnn")
    return keras.Model(inputs, keras.layers.Bidirectional(rnn, name="both")(inputs), name="cells")


def stacked_cells() -> Any:
    """Return stacked cells through StackedRNNCells."""
    inputs = keras.Input((None, 3), name="x")
    cells = keras.layers.StackedRNNCells([keras.layers.GRUCell(4), keras.layers.GRUCell(4)])
    rnn = keras.layers.RNN(cells, return_sequences=True, name="rnn")
    return keras.Model(inputs, rnn(inputs), name="stacked_cells")


def activated(activation: Callable[[], Any], kind: str = "SimpleRNN") -> Build:
    """Return a builder of a layer whose activation is an object, not a name."""

    def build() -> Any:
        return single(kind=kind, activation=activation(), return_sequences=True)()

    return build


def conv_lstm(rank: int, **options: Any) -> Build:
    def build() -> Any:
        inputs = keras.Input((None, *(4, 5, 3)[:rank], 2), name="x")
        kind = getattr(keras.layers, f"ConvLSTM{rank}D")
        return keras.Model(inputs, kind(2, 2, name="rnn", **options)(inputs), name="conv")

    return build
