"""Models written once: every option of a recurrent layer, and what stands around it.

Each builds a Keras model; the test makes its weights random.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NEED_NODES = ("selu", "relu6", "silu", "mish", "exponential")  # no attribute of RNN has these
GROWING = ("exponential", "softplus")
ACTIVATIONS = (
    *("tanh", "linear", "relu", "sigmoid", "hard_sigmoid", "softsign", "softplus", "elu"),
    *("leaky_relu", *NEED_NODES),
)


@dataclass(frozen=True)
class Case:
    """A model to export.

    native: whether ONNX's own operators can express it. chunked: whether its chunks give what the
    whole gives. scale: of its random weights, so small that errors do not grow step by step.
    """

    name: str
    build: Callable[[], Any]
    native: bool = True
    chunked: bool = True
    scale: float = 0.3


def layer(name="rnn", units=5, kind="SimpleRNN", cell=False, **options):
    """A recurrent layer of a kind, as a layer or as a cell in RNN."""
    import keras

    if not cell:
        return getattr(keras.layers, kind)(units, name=name, **options)
    of_cell = ("activation", "recurrent_activation", "use_bias", "reset_after")
    inner = {key: options.pop(key) for key in of_cell if key in options}
    one = getattr(keras.layers, f"{kind}Cell")(units, **inner)
    return keras.layers.RNN(one, name=name, **options)


def single(shape=(None, 3), **options):
    """One recurrent layer and nothing else."""

    def build():
        import keras

        inputs = keras.Input(shape, name="x")
        return keras.Model(inputs, layer(**options)(inputs), name="single")

    return build


def _list_of_cells(**options):
    def build():
        import keras

        cells = [keras.layers.LSTMCell(4), keras.layers.GRUCell(3), keras.layers.SimpleRNNCell(5)]
        inputs = keras.Input((None, 3), name="x")
        outputs = keras.layers.RNN(cells, name="rnn", **options)(inputs)
        return keras.Model(inputs, outputs, name="cells")

    return build


def _stacked():
    import keras

    x = inputs = keras.Input((None, 3), name="x")
    for index, units in enumerate((4, 6, 5)):
        x = layer(f"rnn{index}", units, return_sequences=index < 2)(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="y")(x), name="stacked")


def _bidirectional(mode, kind="SimpleRNN"):
    def build():
        import keras

        inputs = keras.Input((None, 3), name="x")
        rnn = layer("rnn", 4, kind, return_sequences=True)
        outputs = keras.layers.Bidirectional(rnn, merge_mode=mode, name="both")(inputs)
        return keras.Model(inputs, outputs, name="bidirectional")

    return build


def _bidirectional_unlike():
    import keras

    inputs = keras.Input((None, 3), name="x")
    forward = layer("forward", 4, "GRU", return_sequences=True)
    backward = layer("backward", 5, "LSTM", return_sequences=True, go_backwards=True)
    both = keras.layers.Bidirectional(forward, backward_layer=backward, name="both")
    return keras.Model(inputs, both(inputs), name="unlike")


def _encoder_decoder(kind):
    def build():
        import keras

        source = keras.Input((None, 3), name="source")
        target = keras.Input((None, 2), name="target")
        _, *states = layer("encoder", 5, kind, return_state=True)(source)
        y = layer("decoder", 5, kind, return_sequences=True)(target, initial_state=states)
        outputs = keras.layers.Dense(2, name="y")(y)
        return keras.Model([source, target], outputs, name="translate")

    return build


def _state_as_input():
    import keras

    x = keras.Input((None, 3), name="x")
    state = keras.Input((4,), name="given")
    outputs = keras.layers.SimpleRNN(4, return_sequences=True, return_state=True, name="rnn")(
        x, initial_state=state
    )
    return keras.Model([x, state], list(outputs), name="given_state")


def _shared_twice():
    import keras

    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    rnn = keras.layers.SimpleRNN(4, name="rnn")
    y = keras.layers.Concatenate(name="y")([rnn(a), rnn(b)])
    return keras.Model([a, b], y, name="siamese")


def masked(stages=1, embedding=False, **options):
    """Recurrent layers behind a mask, from Masking or from an Embedding."""

    def build():
        import keras

        if embedding:
            x = inputs = keras.Input((None,), dtype="int32", name="ids")
            x = keras.layers.Embedding(6, 3, mask_zero=True)(x)
        else:
            x = inputs = keras.Input((None, 3), name="x")
            x = keras.layers.Masking(-1.5)(x)
        for stage in range(stages - 1):
            x = layer(f"before{stage}", 4, options.get("kind", "GRU"), return_sequences=True)(x)
        return keras.Model(inputs, layer(**options)(x), name="masked")

    return build


def _mask_as_input():
    import keras

    x = keras.Input((None, 3), name="x")
    mask = keras.Input((None,), dtype="bool", name="counts")
    y = keras.layers.GRU(4, return_sequences=True, name="rnn")(x, mask=mask)
    return keras.Model([x, mask], y, name="explicit")


def _masked_bidirectional(mode):
    def build():
        import keras

        x = inputs = keras.Input((None,), dtype="int32", name="ids")
        x = keras.layers.Embedding(6, 3, mask_zero=True)(x)
        rnn = layer("rnn", 4, "LSTM", return_sequences=mode is not None)
        y = keras.layers.Bidirectional(rnn, merge_mode=mode or "concat", name="both")(x)
        return keras.Model(inputs, y, name="masked_both")

    return build


def _masked_decoder(**options):
    def build():
        import keras

        x = keras.Input((None, 3), name="x")
        counts = keras.Input((None,), dtype="bool", name="counts")
        given = keras.Input((4,), name="given")
        # By name: beside an initial state, Keras does not pass on the mask of the sequence.
        rnn = layer("rnn", 4, "GRU", return_state=True, **options)
        y, h = rnn(x, initial_state=given, mask=counts)
        return keras.Model([x, counts, given], [y, h], name="masked_decoder")

    return build


def _masked_cells(**options):
    def build():
        import keras

        x = inputs = keras.Input((None, 3), name="x")
        x = keras.layers.Masking(0.0)(x)
        cells = [keras.layers.LSTMCell(4), keras.layers.SimpleRNNCell(5)]
        return keras.Model(inputs, keras.layers.RNN(cells, name="rnn", **options)(x), name="cells")

    return build


def _nested():
    import keras

    inner_in = keras.Input((None, 3))
    inner = keras.Model(inner_in, layer("rnn", 4, return_sequences=True)(inner_in), name="inner")
    x = keras.Input((None, 3), name="x")
    y = layer("rnn", 4)(inner(x))
    return keras.Model(x, y, name="outer")


def _tokens():
    import keras

    x = inputs = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(11, 4, name="embedding")(x)
    x = layer("rnn", 6, return_sequences=True)(x)
    y = keras.layers.Dense(11, activation="softmax", name="next")(x)
    return keras.Model(inputs, y, name="tokens")


def _around():
    """Layers before, between and after, none of which looks along time."""
    import keras

    x = inputs = keras.Input((None, 3), name="x")
    x = keras.layers.Dense(4, activation="relu")(x)
    x = keras.layers.LayerNormalization()(x)
    x = layer("first", 5, return_sequences=True, dropout=0.3, recurrent_dropout=0.2)(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Concatenate()([x, layer("second", 4, return_sequences=True)(x)])
    return keras.Model(inputs, keras.layers.Dense(2, name="y")(x), name="around")


def _time_distributed(kind):
    def build():
        import keras

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


def _several_lengths(first, second):
    def build():
        import keras

        x, z = keras.Input((first, 3), name="x"), keras.Input((second, 2), name="z")
        both = [layer("a", 4, "GRU")(x), layer("b", 3, "LSTM")(z)]
        return keras.Model([x, z], keras.layers.Concatenate(name="y")(both), name="lengths")

    return build


def _looking_back():
    """A convolution that reaches 20 steps back, further than any short case shows."""
    import keras

    x = inputs = keras.Input((None, 3), name="x")
    x = keras.layers.Conv1D(3, 2, dilation_rate=20, padding="causal")(x)
    return keras.Model(inputs, layer("rnn", 4, "GRU", return_sequences=True)(x), name="back")


def _pooled():
    import keras

    x = inputs = keras.Input((None, 3), name="x")
    x = layer("rnn", 4, return_sequences=True)(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="y")(x), name="pooled")


def _sequential():
    import keras

    layers = [keras.Input((None, 3)), layer("rnn", 4, return_sequences=True), layer("last", 5)]
    return keras.Sequential([*layers, keras.layers.Dense(2)], name="sequential")


# What every kind of layer is tried with.
OPTIONS = (
    ("last", {}),
    ("cell", {"cell": True, "return_sequences": True, "return_state": True}),
    ("no-bias", {"use_bias": False, "return_sequences": True}),
    ("states", {"return_sequences": True, "return_state": True}),
    ("backwards", {"go_backwards": True, "return_sequences": True}),
    ("backwards-last", {"go_backwards": True, "return_state": True}),
    ("relu", {"activation": "relu", "return_sequences": True}),
    ("one-unit", {"units": 1, "return_sequences": True}),
)
GATED = (
    ("GRU-before", "GRU", {"reset_after": False}),
    ("GRU-before-no-bias", "GRU", {"reset_after": False, "use_bias": False}),
    ("GRU-hard-gates", "GRU", {"recurrent_activation": "hard_sigmoid"}),
    ("GRU-before-cell", "GRU", {"cell": True, "reset_after": False}),
    ("LSTM-hard-gates", "LSTM", {"recurrent_activation": "hard_sigmoid", "activation": "softsign"}),
    ("LSTM-leaky", "LSTM", {"activation": "leaky_relu"}),
    ("LSTM-tanh-gates", "LSTM", {"recurrent_activation": "tanh"}),
)

MASKED = (
    ("sequence", {"return_sequences": True, "return_state": True}),
    ("last", {"return_state": True}),
    ("zero", {"return_sequences": True, "zero_output_for_mask": True}),
    ("zero-last", {"zero_output_for_mask": True}),
    ("backwards", {"return_sequences": True, "go_backwards": True}),
)

CASES = (
    *(Case(f"activation-{n}", single(activation=n, return_sequences=True),
           native=n not in NEED_NODES, scale=0.1 if n in GROWING else 0.3)
      for n in ACTIVATIONS),
    *(Case(f"{kind}-{name}", single(kind=kind, **options),
           chunked=not options.get("go_backwards", False), scale=0.2)
      for kind in ("SimpleRNN", "GRU", "LSTM") for name, options in OPTIONS),
    *(Case(name, single(kind=kind, return_sequences=True, return_state=True, **options))
      for name, kind, options in GATED),
    Case("GRU-silu-gates", single(kind="GRU", recurrent_activation="silu"), native=False,
         scale=0.05),
    Case("list-of-cells", _list_of_cells(return_sequences=True, return_state=True)),
    Case("list-of-cells-last", _list_of_cells()),
    Case("list-of-cells-backwards", _list_of_cells(go_backwards=True), chunked=False),
    *(Case(f"masked-{kind}-{name}", masked(kind=kind, **options), native=False,
           chunked=not options.get("go_backwards", False))
      for kind in ("SimpleRNN", "GRU", "LSTM") for name, options in MASKED),
    Case("masked-tokens", masked(embedding=True, kind="LSTM", return_sequences=True),
         native=False),
    Case("masked-stacked", masked(stages=3, kind="LSTM"), native=False),
    *(Case(f"masked-bidirectional-{m}", _masked_bidirectional(m), native=False,
           chunked=False) for m in ("concat", "sum", None)),
    Case("masked-cells", _masked_cells(return_sequences=True), native=False),
    Case("masked-cells-backwards", _masked_cells(go_backwards=True, return_sequences=True),
         native=False, chunked=False),
    Case("masked-cells-backwards-last", _masked_cells(go_backwards=True), native=False,
         chunked=False),
    Case("masked-cells-zero", _masked_cells(zero_output_for_mask=True), native=False),
    Case("masked-initial-state", _masked_decoder(return_sequences=True), native=False,
         chunked=False),
    Case("masked-initial-state-last", _masked_decoder(), native=False, chunked=False),
    Case("mask-as-input", _mask_as_input, native=False),
    Case("unroll", single(shape=(4, 3), unroll=True, return_sequences=True)),
    Case("wide", single(shape=(None, 40), units=70, return_sequences=True), scale=0.1),
    Case("wide-lstm", single(shape=(None, 40), units=70, kind="LSTM"), scale=0.1),
    Case("stacked", _stacked),
    Case("sequential", _sequential),
    *(Case(f"bidirectional-{m}", _bidirectional(m), chunked=False)
      for m in ("concat", "sum", "mul", "ave", None)),
    Case("bidirectional-GRU", _bidirectional("concat", "GRU"), chunked=False),
    Case("bidirectional-LSTM", _bidirectional("concat", "LSTM"), chunked=False),
    Case("bidirectional-unlike", _bidirectional_unlike, chunked=False),
    *(Case(f"encoder-decoder-{kind}", _encoder_decoder(kind), chunked=False)
      for kind in ("SimpleRNN", "GRU", "LSTM")),
    Case("state-as-input", _state_as_input, chunked=False),
    Case("shared-twice", _shared_twice, chunked=False),
    Case("nested", _nested),
    Case("tokens", _tokens),
    Case("around", _around),
    *(Case(f"time-distributed-{kind}", _time_distributed(kind))
      for kind in ("dense", "norm", "model", "conv")),
    Case("fixed-lengths", _several_lengths(8, 11), chunked=False),
    Case("fixed-equal-lengths", _several_lengths(8, 8)),
    Case("fixed-beside-open", _several_lengths(None, 11), chunked=False),
    Case("looking-back", _looking_back, chunked=False),
    Case("pooled", _pooled, chunked=False),
)  # fmt: skip
