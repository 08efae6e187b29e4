"""Every kind of model through the whole export: artifacts, states, golden vectors.

Each model of the zoo is exported once, to ONNX and TFLite, and every output and every state on
every runtime is compared with TensorFlow's float64 within 2e-6.
"""

import keras
import numpy as np
import pytest

from rnn_deploy.bundle import read_cases
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.runtimes.base import why_wrong
from rnn_deploy.spec import SEQUENCE, STREAM
from rnn_deploy.verifying import verify
from tests.support.models import LONG, randomised

layers = keras.layers
TIGHT = 2e-6


def _x(name="x", time=None, width=3):
    return keras.Input((time, width), name=name)


def _last_and_dense():
    x = _x()
    return keras.Model(x, layers.Dense(2, name="y")(layers.SimpleRNN(4, name="rnn")(x)))


def _sequential():
    return keras.Sequential([_x(), layers.SimpleRNN(4, name="rnn"), layers.Dense(2, name="y")])


def _cell_with_state():
    x = _x()
    rnn = layers.RNN(layers.SimpleRNNCell(4), return_sequences=True, return_state=True, name="rnn")
    return keras.Model(x, list(rnn(x)))


def _last_is_the_state():
    x = _x()
    return keras.Model(x, list(layers.SimpleRNN(4, return_state=True, name="rnn")(x)))


def _backwards():
    x = _x()
    rnn = layers.SimpleRNN(
        4, go_backwards=True, return_sequences=True, return_state=True, use_bias=False, name="rnn"
    )
    return keras.Model(x, list(rnn(x)))


def _bidirectional():
    x = _x()
    both = layers.Bidirectional(layers.SimpleRNN(4, return_sequences=True, name="rnn"), name="both")
    return keras.Model(x, layers.Dense(2, name="y")(both(x)))


def _bidirectional_last_with_states():
    x = _x()
    both = layers.Bidirectional(
        layers.SimpleRNN(4, return_state=True, name="rnn"), merge_mode="sum", name="both"
    )
    return keras.Model(x, list(both(x)))


def _three_stacked():
    x = y = _x()
    for i in range(3):
        y = layers.SimpleRNN(4 + i, return_sequences=True, name=f"rnn{i}")(y)
    return keras.Model(x, layers.Dense(2, name="y")(y))


def _shared_layer():
    a, b = _x("a"), _x("b")
    rnn = layers.SimpleRNN(4, name="rnn")
    return keras.Model([a, b], layers.Dense(2, name="y")(layers.subtract([rnn(a), rnn(b)])))


def _clashing_call_names():
    x = _x(width=4)
    rnn = layers.SimpleRNN(4, return_sequences=True, name="rnn")
    return keras.Model(x, layers.SimpleRNN(4, name="rnn_2")(rnn(rnn(x))))


def _nested():
    x = inner_x = _x(width=4)
    inner = keras.Model(inner_x, layers.SimpleRNN(4, return_sequences=True, name="rnn")(inner_x))
    x = _x(width=4)
    outer = layers.SimpleRNN(3, name="rnn")(inner(inner(x)))
    return keras.Model(x, layers.Dense(2, name="y")(outer))


def _own_lengths():
    a, b = _x("a", width=3), _x("b", width=2)
    ends = [layers.SimpleRNN(4, name="one")(a), layers.SimpleRNN(5, name="two")(b)]
    return keras.Model([a, b], layers.Dense(2, name="y")(layers.concatenate(ends)))


def _tied_lengths():
    a, b = _x("a", width=3), _x("b", width=2)
    both = layers.concatenate([a, b])
    return keras.Model([a, b], layers.SimpleRNN(4, return_sequences=True, name="rnn")(both))


def _dicts():
    a, b = _x("a", width=3), _x("b", width=2)
    end = layers.concatenate([layers.SimpleRNN(4, name="r")(a), layers.SimpleRNN(4, name="s")(b)])
    outputs = {"zeta": layers.Dense(2)(end), "alpha": layers.Dense(3)(end)}
    return keras.Model({"b": b, "a": a}, outputs)


def _two_equal_outputs():
    x = _x()
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    return keras.Model(x, [y, y])


def _pass_through():
    x = _x()
    return keras.Model(x, [layers.SimpleRNN(4, name="rnn")(x), x])


def _encoder_decoder():
    a, b = _x("a", width=3), _x("b", width=2)
    _, state = layers.SimpleRNN(4, return_state=True, name="encoder")(a)
    decoded = layers.SimpleRNN(4, return_sequences=True, name="decoder")(b, initial_state=state)
    return keras.Model([a, b], layers.Dense(2, name="y")(decoded))


def _state_is_an_input():
    x, h = _x(), keras.Input((4,), name="h0")
    rnn = layers.SimpleRNN(4, return_sequences=True, return_state=True, name="rnn")
    return keras.Model([x, h], list(rnn(x, initial_state=h)))


def _fixed_time():
    x = _x(time=8)
    return keras.Model(x, layers.SimpleRNN(4, return_sequences=True, name="rnn")(x))


def _fixed_time_flattened():
    x = _x(time=8)
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    return keras.Model(x, layers.Dense(2, name="y")(layers.Flatten()(y)))


def _tokens():
    x = keras.Input((None,), dtype="int32", name="ids")
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(layers.Embedding(7, 3)(x))
    return keras.Model(x, layers.Dense(7, activation="softmax", name="y")(y))


def _everything_beside():
    x = _x()
    y = layers.BatchNormalization()(x)
    y = layers.Conv1D(4, 2, padding="causal")(y)
    y = layers.SimpleRNN(4, return_sequences=True, dropout=0.5, recurrent_dropout=0.2, name="r")(y)
    y = layers.LayerNormalization()(layers.Dropout(0.5)(y))
    return keras.Model(x, layers.Dense(2, activation="silu", name="y")(y))


def _averaged():
    x = _x()
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    return keras.Model(x, layers.Dense(2, name="y")(layers.GlobalAveragePooling1D()(y)))


def _unrolled_by_keras():
    x = _x(time=4)
    return keras.Model(x, layers.SimpleRNN(4, unroll=True, name="rnn")(x))


def _many_activations():
    x = y = _x()
    for name in ("hard_sigmoid", "silu", "softsign", "elu", "selu", "relu6", "mish", None):
        y = layers.SimpleRNN(3, activation=name, return_sequences=True, name=f"rnn_{name}")(y)
    return keras.Model(x, y)


def _names_like_states():
    x = _x("rnn_h_in")
    return keras.Model(x, layers.Dense(2, name="rnn_h_out")(layers.SimpleRNN(4, name="rnn")(x)))


def _booleans():
    x = keras.Input((None, 3), dtype="bool", name="x")
    return keras.Model(x, layers.SimpleRNN(4, name="rnn")(x))


def _half_precision():
    x = keras.Input((None, 3), dtype="float16", name="x")
    y = layers.SimpleRNN(4, return_sequences=True, dtype="mixed_float16", name="rnn")(x)
    return keras.Model(x, layers.Dense(2, dtype="mixed_float16", name="y")(y))


def _stateful():
    x = keras.Input(batch_shape=(2, None, 3), name="x")
    return keras.Model(x, layers.SimpleRNN(4, stateful=True, name="rnn")(x))


def _pictures():
    x = keras.Input((None, None, 3), name="x")
    return keras.Model(x, layers.Dense(2, name="y")(x))


def _pooled_frames():
    x = keras.Input((4, 6, 6, 1), name="x")
    frames = layers.ConvLSTM2D(2, 3, return_sequences=True, name="rnn")(x)
    pooled = layers.MaxPooling3D((1, 2, 2), padding="same")(frames)
    return keras.Model(x, layers.Flatten()(layers.AveragePooling3D((2, 1, 1))(pooled)))


# What builds the model; the layers whose states the stream carries (None: there is no stream
# entry point); whether chunks give what the whole gives.
ZOO = {
    "last step and Dense": (_last_and_dense, ["rnn"], True),
    "Sequential": (_sequential, ["rnn"], True),
    "a cell in RNN, state returned": (_cell_with_state, ["rnn"], True),
    "an output is the state": (_last_is_the_state, ["rnn"], True),
    "backwards, no bias": (_backwards, ["rnn"], False),
    "Bidirectional": (_bidirectional, ["forward_rnn", "backward_rnn"], False),
    "Bidirectional, states returned": (
        _bidirectional_last_with_states, ["forward_rnn", "backward_rnn"], False,
    ),
    "three stacked": (_three_stacked, ["rnn0", "rnn1", "rnn2"], True),
    "one layer on two inputs": (_shared_layer, ["rnn", "rnn_2"], False),
    "a layer named like a second call": (_clashing_call_names, ["rnn", "rnn_2", "rnn_2_2"], True),
    "a model in a model, twice": (_nested, ["rnn", "rnn_2", "rnn_3"], True),
    "two inputs, own lengths": (_own_lengths, ["one", "two"], False),
    "two inputs, one length": (_tied_lengths, ["rnn"], True),
    "dicts in and out": (_dicts, ["r", "s"], False),
    "two equal outputs": (_two_equal_outputs, ["rnn"], True),
    "an input passed through": (_pass_through, ["rnn"], True),
    "encoder and decoder": (_encoder_decoder, ["encoder"], False),
    "the initial state is an input": (_state_is_an_input, None, False),
    "fixed time": (_fixed_time, ["rnn"], True),
    "fixed time, flattened": (_fixed_time_flattened, None, False),
    "tokens": (_tokens, ["rnn"], True),
    "layers of every kind beside": (_everything_beside, ["r"], False),
    "averaged over time": (_averaged, ["rnn"], False),
    "unroll=True": (_unrolled_by_keras, ["rnn"], True),
    "names like those of states": (_names_like_states, ["rnn"], True),
    "booleans": (_booleans, ["rnn"], True),
    "mixed_float16": (_half_precision, ["rnn"], True),
    "stateful": (_stateful, ["rnn"], True),
    "frames pooled in three dimensions": (_pooled_frames, ["rnn", "rnn"], False),
    "two open axes": (_pictures, None, False),
}  # fmt: skip


def positive_variances(model):
    """Variances of BatchNormalization made positive; returns the model."""
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.abs(layer.moving_variance.numpy()) + 0.5)
    return model


@pytest.fixture(scope="module", params=ZOO, ids=lambda name: name.replace(" ", "_"))
def exported(request, tmp_path_factory):
    """A model of the zoo, its bundle, and what is expected of it."""
    build, states, chunked = ZOO[request.param]
    model = positive_variances(randomised(build(), scale=0.4))
    bundle = export(model, tmp_path_factory.mktemp("zoo") / "bundle", ExportOptions(long=LONG))
    return model, bundle, states, chunked


def test_every_output_and_state_is_the_original_s(exported, runtimes):
    _, bundle, states, chunked = exported
    formats = {artifact.format for artifact in bundle.manifest.artifacts}
    here = [r for r in runtimes if r.format in formats and why_wrong(bundle, r) is None]
    report = verify(bundle, runtimes=here)
    assert report.passed, report.verdict
    assert {c.runtime for c in report.comparisons} >= {"ort-cpu", "litert"}
    # Of inputs far from the usual TensorFlow's own error is larger, too; verify goes by that.
    plain = [c for c in report.comparisons if c.check != "extremes"]
    off = [c for c in plain if not c.max_abs <= TIGHT * max(1.0, abs(c.expected))]
    assert off == []
    checked = {(c.check, c.kind) for c in report.comparisons}
    assert ("sequence", "output") in checked
    assert (("states", "state") in checked) is (states is not None)
    assert (("chunked", "state") in checked) is chunked


def test_every_state_is_followed_under_its_layer_s_name(exported):
    _, bundle, states, chunked = exported
    manifest = bundle.manifest
    if states is None:
        assert [entry.name for entry in manifest.entries] == [SEQUENCE]
        assert any("no stream entry point" in note for note in manifest.notes)
        return
    stream = manifest.entry(STREAM)
    assert [state.layer for state in stream.states] == states
    assert stream.chunked.ok is chunked
    names = [tensor.name for tensor in (*stream.all_inputs, *stream.all_outputs)]
    assert len(names) == len(set(names))


def test_golden_reference_is_what_the_model_itself_says(exported):
    model, bundle, _, _ = exported
    sequence = bundle.manifest.entry(SEQUENCE)
    if any(layer.compute_dtype != "float32" for layer in model._flatten_layers()):
        pytest.skip("the model itself computes in another precision")
    compared = 0
    for case in read_cases(bundle.checked(bundle.manifest.golden)):
        if SEQUENCE not in case.entries:
            continue
        for layer in model._flatten_layers():
            if getattr(layer, "stateful", False):
                layer.reset_state()
        given = {tensor.name: case.feeds[tensor.name] for tensor in sequence.inputs}
        if not isinstance(getattr(model, "_inputs_struct", None), dict):
            given = list(given.values()) if len(given) > 1 else next(iter(given.values()))
        found = keras.tree.flatten(model(given))
        for tensor, value in zip(sequence.outputs, found, strict=True):
            np.testing.assert_allclose(value, case.oracle[tensor.name], rtol=TIGHT, atol=TIGHT)
            compared += 1
    assert compared
