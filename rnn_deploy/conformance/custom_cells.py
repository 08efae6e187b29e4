"""Cells written by hand, and a model with its own call."""

from typing import Any

from rnn_deploy.conformance.layers import Build
from rnn_deploy.keras.tensorflow import keras


@keras.saving.register_keras_serializable("rnn_deploy")
class Echo(keras.layers.Layer):  # type: ignore[misc]
    """A cell whose output is wider than its state."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, shape: Any) -> None:
        self.output_size = self.units + shape[-1]
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")

    def call(self, x: Any, states: Any) -> Any:
        h = keras.ops.sin(x @ self.kernel + states[0] @ self.recurrent)
        return keras.ops.concatenate([h, x], axis=-1), [h]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("rnn_deploy")
class Peephole(keras.layers.Layer):  # type: ignore[misc]
    """An LSTM whose gates see c, with a Dense layer inside."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.state_size = units, [units, units]
        self.gates = keras.layers.Dense(4 * units)

    def build(self, shape: Any) -> None:
        self.gates.build((None, shape[-1] + 2 * self.units))

    def call(self, x: Any, states: Any, training: bool = False) -> Any:
        h, c = states
        together = self.gates(keras.ops.concatenate([x, h, c], axis=-1))
        i, f, g, o = keras.ops.split(together, 4, axis=-1)
        c = keras.ops.sigmoid(f) * c + keras.ops.sigmoid(i) * keras.ops.tanh(g)
        h = keras.ops.sigmoid(o) * keras.ops.tanh(c)
        return h, [h, c]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("rnn_deploy")
class Learned(Echo):
    """A cell that starts from a learned state."""

    def build(self, shape: Any) -> None:
        super().build(shape)
        self.start = self.add_weight(shape=(self.units,), name="start")

    def get_initial_state(self, batch_size: Any = None) -> Any:
        return keras.ops.broadcast_to(self.start, (batch_size, self.units))


CELLS = {"echo": Echo, "peephole": Peephole, "learned": Learned}


@keras.saving.register_keras_serializable("rnn_deploy")
class Written(keras.Model):  # type: ignore[misc]
    """A model with its own call, and dicts as inputs and outputs."""

    def __init__(self) -> None:
        super().__init__(name="written")
        self.rnn = keras.layers.LSTM(4, return_sequences=True, name="rnn")
        self.both = keras.layers.Bidirectional(keras.layers.GRU(3, name="inner"), name="both")
        self.head = keras.layers.Dense(2, name="head")

    def call(self, tensors: Any, training: bool = False) -> Any:
        steps = self.rnn(keras.ops.concatenate([tensors["b"], tensors["a"]], axis=-1))
        return {"steps": steps, "head": self.head(self.both(steps))}


def subclassed() -> Any:
    model = Written()
    model({"a": keras.Input((None, 2)), "b": keras.Input((None, 3))})
    return model


def in_layer(cell: str, *, masked: bool = False, both: bool = False, **options: Any) -> Build:
    """Return a builder of one of these cells in a layer, in both directions or behind a mask."""

    def build() -> Any:
        x = inputs = keras.Input((None, 3), name="x")
        if masked:
            x = keras.layers.Masking(-1.5)(x)
        dtype = {key: options[key] for key in ("dtype",) if key in options}
        rnn = keras.layers.RNN(CELLS[cell](4, **dtype), name="rnn", **options)
        y = keras.layers.Bidirectional(rnn, name="both")(x) if both else rnn(x)
        return keras.Model(inputs, y, name="own")

    return build


def mixed_cells(**options: Any) -> Build:
    """Return a builder of a list of Keras' cells and cells of these."""

    def build() -> Any:
        inputs = keras.Input((None, 3), name="x")
        cells = [keras.layers.LSTMCell(3), Echo(4), keras.layers.GRUCell(5), Peephole(2)]
        outputs = keras.layers.RNN(cells, name="rnn", **options)(inputs)
        return keras.Model(inputs, outputs, name="mixed")

    return build
