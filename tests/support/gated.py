"""A masked GRU and LSTM, and a runtime in NumPy that runs it with one fault at a time."""

from dataclasses import dataclass, field, replace

import numpy as np

from rnn_deploy.numerics import cells
from rnn_deploy.runtimes.fake import FakeRuntime
from tests.support.models import randomised


def gated_model():
    import keras

    layers = keras.layers
    x = inputs = keras.Input((None, 3), name="x")
    x = layers.Masking(0.0)(x)
    x = layers.GRU(4, return_sequences=True, recurrent_activation="hard_sigmoid", name="gru")(x)
    x = layers.LSTM(3, return_sequences=True, name="lstm")(x)
    outputs = layers.Dense(2, name="y")(x)
    return randomised(keras.Model(inputs, outputs, name="gated"), scale=0.6)


@dataclass(frozen=True)
class Gated:
    """The model's weights; `dense` is (kernel, bias). Hooks spoil what it does.

    rounded: every value on the way. masked: what the mask becomes. states_out: what the states
    are handed out as, given those that came in. calls: of earlier calls, newest last.
    """

    gru: object
    lstm: object
    dense: tuple
    rounded: object = staticmethod(lambda value: value)
    masked: object = staticmethod(lambda mask: mask)
    states_out: object = staticmethod(lambda before, after: after)
    outputs: object = staticmethod(lambda feeds, results, calls: results)
    calls: list = field(default_factory=list)

    def runtime(self, name="fake"):
        return FakeRuntime(self, name=name)

    def __call__(self, entry, feeds):
        x = feeds["x"].astype(np.float64)
        batch = len(x)
        with np.errstate(all="ignore"):
            mask = self.masked(np.any(x != 0, axis=-1))
            given = [
                feeds.get(f"{name}_in", np.zeros((batch, units)))
                for name, units in (("gru_h", 4), ("lstm_h", 3), ("lstm_c", 3))
            ]
            states = [self.rounded(value.astype(np.float64)) for value in given]
            outputs = []
            for t in range(x.shape[1]):
                now, m = self.rounded(x[:, t : t + 1]), mask[:, t : t + 1]
                first, (states[0],) = cells.run(self.gru, now, (states[0],), m)
                second, states[1:] = cells.run(self.lstm, self.rounded(first), states[1:], m)
                states = [self.rounded(state) for state in states]
                outputs.append(self.rounded(second[:, 0]))
            kernel, bias = self.dense
            y = self.rounded(np.stack(outputs, axis=1) @ kernel + bias)
            after = self.states_out(given, states)
            names = ("gru_h_out", "lstm_h_out", "lstm_c_out")
            results = {"y": y} | dict(zip(names, after, strict=True))
            results = self.outputs(feeds, results, self.calls)
        self.calls.append(results)
        wanted = (tensor.name for tensor in entry.all_outputs)
        return {name: np.asarray(results[name], np.float32) for name in wanted if name in results}

    def with_layer(self, name, **changes):
        """The same with a layer that is read otherwise."""
        return replace(self, **{name: replace(getattr(self, name), **changes)})
