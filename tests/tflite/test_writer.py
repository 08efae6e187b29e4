"""The TFLite artifact itself: builtin operators, open dimensions, names, shared weights."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.references.reference import Reference
from rnn_deploy.tflite import writer as tflite
from tests.support.activations import OF_KERAS_3
from tests.support.errors import raises
from tests.support.models import randomised, small_model
from tests.support.tflite_files import (
    OPTIONS,
    TIGHT,
    assert_same,
    compared,
    custom_operators,
    feeds_for,
    parts_for,
)

layers = keras.layers


@pytest.fixture(scope="module")
def small():
    """The small model, its entry points by name, its TFLite file."""
    model = small_model()
    parts = parts_for(model)
    return model, {p.entry.name: p.entry for p in parts}, tflite.convert(model, parts)


def test_operators_are_builtin(small):
    assert custom_operators(small[2]) == []


def test_signatures_have_the_names_of_the_entry_points(small):
    _, entries, content = small
    found = Interpreter(model_content=content).get_signature_list()
    assert set(found) == set(entries) == {"sequence", "stream", "step"}
    for name, entry in entries.items():
        assert set(found[name]["inputs"]) == {t.name for t in entry.all_inputs}
        assert set(found[name]["outputs"]) == {t.name for t in entry.all_outputs}


@pytest.mark.parametrize("entry", ["sequence", "stream"])
def test_any_batch_and_time_one_after_the_other_gives_the_original_s_values(small, entry):
    model, entries, content = small
    reference = Reference(model, entries[entry], "float64")
    runner = Interpreter(model_content=content).get_signature_runner(entry)
    for batch, time in ((1, 1), (3, 5), (1, 9), (5, 1), (2, 33)):
        feeds = feeds_for(entries[entry], batch, time, seed=time)
        assert_same(runner(**feeds), reference.run(feeds))


@pytest.mark.parametrize("activation", ["softplus", "log_sigmoid", "mish"])
def test_no_exponential_overflows(activation):
    x = keras.Input((None, 3), name="x")
    y = layers.SimpleRNN(3, "linear", return_sequences=True, name="rnn")(
        layers.Activation(activation)(x)
    )
    model = randomised(keras.Model(x, y))
    parts = parts_for(model)
    feeds = {"x": np.array([[[-300, 300, 88], [-88, 89, -89], [100, -100, 0]]], np.float32)}
    truth = Reference(model, parts[0].entry, "float64").run(feeds)
    runner = Interpreter(model_content=tflite.convert(model, parts)).get_signature_runner
    np.testing.assert_allclose(runner("sequence")(**feeds)["rnn"], truth["rnn"], rtol=1e-5)


class Bounded(layers.Layer):
    """Numbers in place of NaN and infinities."""

    def call(self, x):
        return keras.ops.nan_to_num(x, nan=1.0, posinf=2.0, neginf=-3.0)


def test_infinities_are_known():
    x = keras.Input((None, 3), name="x")
    rnn = layers.SimpleRNN(3, "linear", return_sequences=True, name="rnn")
    model = randomised(keras.Model(x, rnn(Bounded()(x))))
    parts = parts_for(model)
    feeds = {"x": np.array([[[np.inf, -np.inf, np.nan], [3e38, -3e38, 0]]], np.float32)}
    truth = Reference(model, parts[0].entry, "float64").run(feeds)
    runner = Interpreter(model_content=tflite.convert(model, parts)).get_signature_runner
    np.testing.assert_allclose(runner("sequence")(**feeds)["rnn"], truth["rnn"], rtol=1e-5)


def test_nothing_stays_from_one_call_to_the_next(small):
    _, entries, content = small
    runner = Interpreter(model_content=content).get_signature_runner("stream")
    feeds, others = (feeds_for(entries["stream"], 2, 4, seed) for seed in (0, 1))
    first = {name: value.copy() for name, value in runner(**feeds).items()}
    between = runner(**others)
    assert all(np.abs(first[name] - between[name]).max() > 1e-3 for name in first)
    again = runner(**feeds)
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_buffers_begin_at_multiples_of_16(small):
    content = small[2]
    model = schema.Model.GetRootAsModel(content, 0)
    base = np.frombuffer(content, np.uint8).ctypes.data
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [b.DataAsNumpy().ctypes.data - base for b in buffers if b.DataLength()]
    assert len(starts) > 4
    assert {start % 16 for start in starts} == {0}


def test_signatures_share_their_weights():
    x = keras.Input((None, 8), name="x")
    model = randomised(keras.Model(x, layers.SimpleRNN(128, name="rnn")(x)), scale=0.1)
    parts = parts_for(model)
    whole = len(tflite.convert(model, parts))
    alone = [len(tflite.convert(model, [part])) for part in parts]
    assert whole < 0.5 * sum(alone)
    assert whole < 4 * model.count_params() + 50_000


def test_the_same_model_gives_the_same_bytes_and_is_left_as_it_was(small):
    model, _, content = small

    def fingerprint():
        return layers.RNN.call, [w.tobytes() for w in model.get_weights()], model.dtype_policy

    before = fingerprint()
    assert tflite.convert(model, parts_for(model)) == content
    assert fingerprint() == before


@pytest.mark.parametrize("activation", OF_KERAS_3)
def test_every_activation_is_the_original_s_with_builtins_only(activation):
    x = keras.Input((None, 3), name="x")
    rnn = layers.SimpleRNN(4, activation=activation, go_backwards=True, name="rnn")
    model = randomised(keras.Model(x, rnn(x)), scale=0.4)
    _, part, _ = parts_for(model)
    entry, content = part.entry, tflite.convert(model, [part])
    feeds = feeds_for(entry, 2, 4)
    found = Interpreter(model_content=content).get_signature_runner("stream")(**feeds)
    assert_same(found, Reference(model, entry, "float64").run(feeds))
    assert custom_operators(content) == []


class OwnLoop(layers.SimpleRNN):
    """Runs Keras' general loop, which is left as it is since it overrides `inner_loop`."""

    def inner_loop(self, sequences, initial_state, mask, training=False):
        return layers.RNN.inner_loop(self, sequences, initial_state, mask, training)


@pytest.mark.parametrize(
    ("make", "code", "names"),
    [
        (
            lambda x: keras.ops.erfinv(layers.SimpleRNN(3, name="rnn")(x)),
            "E-MODEL-OPERATOR",
            ["at mine", "/erfinv", "Erfinv"],
        ),
        (
            lambda x: layers.SimpleRNN(3, activation=keras.ops.erfinv, name="rnn")(x),
            "E-MODEL-OPERATOR",
            ["layer 'rnn'", "Erfinv"],
        ),
        (lambda x: layers.SimpleRNN(3, dtype="float64")(x), "E-MODEL-FLOAT64", ["float64"]),
    ],
    ids=["operation", "activation", "float64"],
)
def test_what_tflite_cannot_express_is_refused_in_one_line(make, code, names):
    x = keras.Input((None, 3), name="x")
    model = randomised(keras.Model(x, make(x), name="mine"))
    with raises(UnsupportedModelError, code, "'mine'", *names, "--to onnx") as e:
        tflite.convert(model, parts_for(model)[:1])
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 300


def test_a_loop_of_a_layers_own_is_refused_with_the_layer():
    x = keras.Input((None, 3), name="x")
    model = randomised(keras.Model(x, OwnLoop(3, name="own")(x), name="mine"))
    with raises(UnsupportedModelError, "E-MODEL-OWN-LOOP", "layer 'own'", "TFLite"):
        tflite.convert(model, parts_for(model)[:1])


def test_one_step_gives_what_the_stream_gives(small):
    model, entries, content = small
    interpreter = Interpreter(model_content=content)
    step, stream = (interpreter.get_signature_runner(name) for name in ("step", "stream"))
    feeds = feeds_for(entries["step"], 3, 1)
    assert_same(step(**feeds), Reference(model, entries["stream"], "float64").run(feeds))
    for name, value in stream(**feeds).items():
        np.testing.assert_allclose(step(**feeds)[name], value, rtol=0, atol=TIGHT)


def test_the_step_has_no_loop(small):
    model, _, _ = small
    step = parts_for(model)[-1]
    assert step.entry.name == "step"
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(tflite.convert(model, [step]), 0))
    assert len(file.subgraphs) == 1
    assert step.entry.inputs[0].shape == ("batch", 1, 3)


def layered(make, time=None):
    """A model of one layer, made by `make`, with random weights."""
    x = keras.Input((time, 3), name="x")
    return randomised(keras.Model(x, make()(x), name="mine"), scale=0.3)


ALONE = [(1, 1), (1, 5), (1, 40), (1, 3)]
EDGES = [(2, t) for t in (1, 9, 10, 11, 169, 170, 171, 300)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.GRU(4, name="rnn", go_backwards=True, reset_after=False, **OPTIONS),
        lambda: layers.LSTM(4, name="rnn"),
    ],
    ids=["all-backwards", "last"],
)
def test_loops_are_right_about_the_edges_of_chunks_and_blocks(make):
    choices = compared(layered(make), "loop", EDGES)
    assert {choice.lowering for choice in choices["stream"]} == {"loop"}


@pytest.mark.parametrize("steps", [1, 3, 16, 21, 300])
def test_loops_of_a_fixed_length_are_right(steps):
    make = lambda: layers.GRU(4, name="rnn", **OPTIONS)  # noqa: E731
    choices = compared(layered(make, steps), "loop", [(2, 3), (1, 130)])
    assert set(choices) == {"sequence", "stream", "step"}


@pytest.mark.parametrize("lowering", ["inplace", "loop", "unrolled"])
def test_masks_are_right_in_every_lowering(lowering):
    x = keras.Input((None, 3), name="x")
    y = layers.Masking(-1.5)(x)
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="a"), name="both")(y)
    model = keras.Model(x, layers.GRU(4, zero_output_for_mask=True, name="b", **OPTIONS)(y))
    part, *_ = parts_for(randomised(model, scale=0.3), lowering, time=11)
    assert {choice.lowering for choice in part.choices} == {lowering}
    runner = Interpreter(model_content=tflite.convert(model, [part])).get_signature_runner()
    feeds = feeds_for(part.entry, 4, 11)
    feeds["x"][0, 5:] = feeds["x"][1, :4] = feeds["x"][2, 3] = feeds["x"][3] = -1.5
    truth = Reference(model, part.entry, "float64").run(feeds)
    assert_same(runner(**feeds), truth)


FUSED = {
    "SimpleRNN": lambda: layers.SimpleRNN(4, name="rnn", **OPTIONS),
    "SimpleRNN-relu-last": lambda: layers.SimpleRNN(4, activation="relu", name="rnn"),
    "LSTM": lambda: layers.LSTM(4, name="rnn", go_backwards=True, **OPTIONS),
    "LSTM-no-bias": lambda: layers.LSTM(4, use_bias=False, name="rnn", return_state=True),
}


@pytest.mark.parametrize("name", FUSED)
def test_fused_operators_are_right_over_growing_shapes(name):
    choices = compared(layered(FUSED[name]), "fused", [(1, 1), (3, 5), (40, 9), (2, 30), (64, 2)])
    assert {choice.lowering for choice in choices["stream"]} == {"fused"}


def test_a_loop_of_fixed_sizes_holds_no_buffer_of_zeros():
    x = keras.Input((203, 3), batch_size=2, name="x")
    model = keras.Model(x, layers.SimpleRNN(64, return_sequences=True, name="rnn")(x), name="mine")
    content = tflite.convert(model, parts_for(model, "loop")[:1])
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    held = [bytes(buffer.data) for buffer in file.buffers if buffer.data is not None]
    assert sum(len(data) for data in held if not any(data)) < 2000
    feeds = feeds_for(parts_for(model, "loop")[0].entry, 2, 203)
    (output,) = (
        Interpreter(model_content=content).get_signature_runner("sequence")(**feeds).values()
    )
    np.testing.assert_allclose(output, model(feeds["x"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", ["SimpleRNN", "LSTM"])
def test_one_sequence_at_a_time_is_fused_by_itself(cell):
    x = keras.Input((None, 3), batch_size=1, name="x")
    y = getattr(layers, cell)(4, name="rnn", go_backwards=True, **OPTIONS)(x)
    y = layers.Dense(2, name="y")(y[0])
    choices = compared(randomised(keras.Model(x, y, name="mine"), scale=0.3), "auto", ALONE)
    assert {name: c[0].lowering for name, c in choices.items()} == {
        "sequence": "fused",
        "stream": "fused",
        "step": "unrolled",
    }


def test_a_fused_operator_after_a_loop_and_before_a_decoder_is_right():
    x = keras.Input((None, 3), name="x")
    y = layers.GRU(6, return_sequences=True, name="loop")(x)
    _, *states = layers.LSTM(5, name="encoder", return_state=True)(y)
    y = layers.LSTM(5, name="decoder", return_sequences=True)(x, initial_state=states)
    model = randomised(keras.Model(x, y), scale=0.3)
    wished = {"encoder": "fused", "decoder": "fused"}
    choices = compared(model, wished, [(2, 5), (50, 20), (3, 4)])
    assert [c.lowering for c in choices["sequence"]] == ["inplace", "fused", "fused"]


def test_fused_operators_keep_nothing_from_one_call_to_the_next():
    model = layered(FUSED["LSTM"])
    part = parts_for(model, "fused")[0]
    runner = Interpreter(model_content=tflite.convert(model, [part])).get_signature_runner()
    feeds = feeds_for(part.entry, 2, 4)
    first = {name: value.copy() for name, value in runner(**feeds).items()}
    for _ in range(3):
        assert all(np.array_equal(first[name], value) for name, value in runner(**feeds).items())


def test_what_only_a_fused_model_needs_is_not_let_through():
    x = keras.Input((None, 3), name="x")
    y = layers.SimpleRNN(3, name="rnn")(x)
    model = randomised(keras.Model(x, keras.ops.erfinv(y), name="mine"))
    with raises(UnsupportedModelError, "E-MODEL-OPERATOR", "Erfinv", "--to onnx"):
        tflite.convert(model, parts_for(model, "fused")[:1])
