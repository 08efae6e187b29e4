"""The reference and the oracle: the model itself, its states given and taken."""

import keras
import numpy as np
import pytest

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.keras.signature import call_flat
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.numerics.cells import run
from rnn_deploy.references.reference import Reference, states_of
from tests.support.errors import raises
from tests.support.layers import layer_of
from tests.support.models import randomised, small_model

layers = keras.layers
EXACT = 1e-12


def planned(model):
    plan = plan_of(model, ExportOptions())
    return plan.stream or plan.sequence


@pytest.fixture(scope="module")
def small():
    """The small model, its stream entry point as traced, its float32 and float64 references."""
    model = small_model()
    traced = planned(model)
    references = {dtype: Reference(model, traced.entry, dtype) for dtype in ("float32", "float64")}
    return model, traced, references


def feeds_of(batch=2, time=5, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    shapes = {"x": (batch, time, 3), "first_h_in": (batch, 5), "second_h_in": (batch, 4)}
    return {n: (scale * rng.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}


def small_model_in_numpy(model, read, feeds):
    """The small model by the cells: an oracle that shares no code with Keras."""
    exact = {name: value.astype(np.float64) for name, value in feeds.items()}
    first, (first_h,) = run(read[0], exact["x"], (exact["first_h_in"],))
    second, (second_h,) = run(read[1], first, (exact["second_h_in"],))
    kernel, bias = (w.astype(np.float64) for w in model.get_layer("y").get_weights())
    return {"y": second @ kernel + bias, "first_h_out": first_h, "second_h_out": second_h}


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (3, 2), (2, 9)])
def test_the_oracle_is_the_cells(small, batch, time):
    model, traced, references = small
    feeds = feeds_of(batch, time)
    found = references["float64"].run(feeds)
    expected = small_model_in_numpy(model, traced.trace.layers, feeds)
    assert list(found) == ["y", "first_h_out", "second_h_out"]
    for name, value in found.items():
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected[name], rtol=EXACT, atol=EXACT)


def test_the_float32_reference_is_the_model_s_own_call(small):
    model, _, references = small
    x = feeds_of()["x"]
    found = references["float32"].run({"x": x})
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found["y"], model(x), rtol=0, atol=2e-6)


def test_states_left_out_are_zero_and_given_ones_matter(small):
    _, _, references = small
    given = feeds_of()
    zeros = {name: value if name == "x" else 0 * value for name, value in given.items()}
    for reference in references.values():
        left_out, zero = reference.run({"x": given["x"]}), reference.run(zeros)
        assert all(np.array_equal(left_out[name], zero[name]) for name in zero)
        for state in ("first_h_in", "second_h_in"):
            changed = reference.run(zeros | {state: given[state]})
            assert np.abs(changed["y"][:, 0] - zero["y"][:, 0]).max() > 1e-3


def test_carrying_the_states_gives_what_the_whole_gives(small):
    _, _, references = small
    feeds, oracle = feeds_of(time=6), references["float64"]
    whole = oracle.run(feeds)
    first = oracle.run(feeds | {"x": feeds["x"][:, :2]})
    second = oracle.run(
        {
            "x": feeds["x"][:, 2:],
            "first_h_in": first["first_h_out"],
            "second_h_in": first["second_h_out"],
        }
    )
    joined = np.concatenate([first["y"], second["y"]], axis=1)
    np.testing.assert_allclose(joined, whole["y"], rtol=0, atol=EXACT)
    for state in ("first_h_out", "second_h_out"):
        np.testing.assert_allclose(second[state], whole[state], rtol=0, atol=EXACT)


def fingerprint(model):
    return (
        layers.RNN.call,
        [layer.dtype_policy.name for layer in model._flatten_layers()],
        [w.numpy().tobytes() for w in model.weights],
        [
            state.numpy().tobytes()
            for layer in model._flatten_layers()
            if getattr(layer, "stateful", False)
            for state in layer.states
        ],
    )


def stateful_model():
    x = keras.Input(batch_shape=(2, None, 3), name="x")
    return randomised(keras.Model(x, layers.SimpleRNN(4, stateful=True, name="rnn")(x)))


def half_model():
    x = keras.Input((None, 3), name="x")
    y = layers.SimpleRNN(4, return_sequences=True, dtype="mixed_float16", name="rnn")(x)
    return randomised(keras.Model(x, layers.Dense(2, dtype="mixed_float16", name="y")(y)))


@pytest.mark.parametrize("build", [small_model, stateful_model, half_model])
def test_the_model_is_untouched_afterwards(build):
    model, x = build(), feeds_of()["x"]
    model(x)  # leaves a state where the model has one
    before = fingerprint(model)
    entry = planned(model).entry
    for dtype in ("float32", "float64"):
        Reference(model, entry, dtype).run({"x": x})
    assert fingerprint(model) == before


def test_the_model_is_untouched_after_an_exception():
    model = small_model()
    entry = planned(model).entry
    before = fingerprint(model)
    dense = model.get_layer("y")
    object.__setattr__(dense, "call", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        Reference(model, entry).run(feeds_of())
    object.__delattr__(dense, "call")
    assert fingerprint(model) == before


def test_a_stateful_model_starts_from_zero_whatever_it_holds():
    model, x = stateful_model(), feeds_of()["x"]
    reference = Reference(model, planned(model).entry)
    fresh = reference.run({"x": x})
    model(x)
    left = model.get_layer("rnn").states[0].numpy()
    assert np.abs(left).max() > 0.01
    again = reference.run({"x": x})
    carried = reference.run({"x": x, "rnn_h_in": left})
    assert all(np.array_equal(fresh[name], again[name]) for name in fresh)
    assert np.abs(carried["rnn"] - fresh["rnn"]).max() > 1e-3
    np.testing.assert_allclose(carried["rnn"], model(x), rtol=0, atol=2e-6)


def test_a_mixed_precision_model_is_computed_in_full_precision():
    model, x = half_model(), feeds_of()["x"]
    entry = planned(model).entry
    single, double = (Reference(model, entry, d).run({"x": x}) for d in ("float32", "float64"))
    for name, value in single.items():
        np.testing.assert_allclose(value, double[name], rtol=0, atol=2e-6)
    (own,) = call_flat(model, [x])
    assert np.abs(np.asarray(own, np.float64) - double["y"]).max() > 1e-5


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_the_oracle_of_a_model_within_the_model_is_exact_and_masked():
    def build(nested):
        x = keras.Input((5, 3), name="x")
        steps = layers.Dense(3, name="dense")(layers.Masking(-1.5)(x))
        inside = keras.Input((5, 3)) if nested else steps
        rnn = layers.GRU(4, return_sequences=True, name="rnn")
        y = layers.Concatenate()([rnn(inside), rnn(layers.Rescaling(0.5)(inside))])
        return keras.Model(x, keras.Model(inside, y)(steps) if nested else y)

    feeds = {"x": feeds_of()["x"]}
    feeds["x"][:, 3:] = -1.5
    found = [
        Reference(model, planned(model).entry, "float64").run(feeds)
        for model in (randomised(build(nested)) for nested in (True, False))
    ]
    for nested, flat in zip(*(results.values() for results in found), strict=True):
        np.testing.assert_allclose(nested, flat, rtol=EXACT, atol=EXACT)


def test_inputs_the_model_does_not_take_are_refused_in_one_line():
    x = keras.Input((None, 3), name="x")
    h = layers.SimpleRNN(4, return_sequences=True)(x)
    # A reshape fails on every processor; pooling of too few steps does so only on some.
    model = randomised(keras.Model(x, keras.ops.reshape(h, (-1, 8))))
    reference = Reference(model, plan_of(model, ExportOptions()).sequence.entry)
    with raises(InputError, "E-INPUT-REJECTED") as raised:
        reference.run({"x": np.zeros((1, 1, 3), np.float32)})
    assert "\n" not in str(raised.value)


def test_sequences_too_short_for_any_output_are_refused():
    x = keras.Input((None, 3), name="x")
    h = layers.SimpleRNN(4, return_sequences=True)(x)
    model = randomised(keras.Model(x, layers.MaxPooling1D(2)(h)))
    reference = Reference(model, plan_of(model, ExportOptions()).sequence.entry)
    assert reference.run({"x": np.ones((1, 2, 3), np.float32)})
    with raises(InputError, "E-INPUT-REJECTED"):
        reference.run({"x": np.ones((1, 1, 3), np.float32)})


class Float32Only(layers.Layer):
    """An operation that TensorFlow has no float64 form of."""

    def call(self, x):
        return tf.nn.local_response_normalization(x)

    def compute_output_shape(self, shape):
        return shape


@pytest.mark.parametrize("within_steps", [False, True])
def test_what_tensorflow_lacks_in_float64_is_said_by_its_layer(within_steps):
    if within_steps:  # TensorFlow says so when it is traced, else when it runs
        pool = Float32Only(name="pool")
        x = keras.Input((None, 2, 2, 3), name="x")
        steps = layers.TimeDistributed(layers.Flatten())(layers.TimeDistributed(pool)(x))
    else:
        pool = Float32Only(name="pool")
        x = keras.Input((4, 2, 3), name="x")
        steps = layers.Reshape((4, 6))(pool(x))
    model = randomised(keras.Model(x, layers.GRU(4, name="rnn")(steps), name="mine"))
    entry = plan_of(model, ExportOptions()).sequence.entry
    feeds = {"x": np.zeros((1, *(dim or 2 for dim in x.shape[1:])), np.float32)}
    with raises(UnsupportedModelError, "E-MODEL-NO-FLOAT64", "'mine'", "layer 'pool'"):
        Reference(model, entry, "float64").run(feeds)
    assert Reference(model, entry).run(feeds)


class Positions(layers.Layer):
    """Adds the number of each step, in a precision of its own."""

    def call(self, x):
        steps = keras.ops.arange(keras.ops.shape(x)[1])
        return x + keras.ops.cast(steps, "float32")[:, None]


def test_a_layer_that_is_for_float32_alone_is_named_with_the_way_out():
    x = keras.Input((None, 3), name="x")
    model = randomised(keras.Model(x, layers.GRU(4)(Positions(name="positions")(x))))
    entry = planned(model).entry
    feeds = {"x": np.ones((2, 4, 3), np.float32)}
    Reference(model, entry, "float32").run(feeds)
    with raises(UnsupportedModelError, "E-MODEL-FLOAT32-ONLY", "layer 'positions'"):
        Reference(model, entry, "float64").run(feeds)


def named(name, initial_state=False):
    return layer_of(np.random.default_rng(0), name=name, initial_state=initial_state)


def test_states_keep_clear_of_the_model_s_own_names():
    states = states_of([named("a"), named("b")], "batch", taken=["a_h_in", "b_h_out"])
    assert [(s.tensor.name, s.next_name) for s in states] == [
        ("a_h_in_2", "a_h_out"),
        ("b_h_in", "b_h_out_2"),
    ]
    assert {(s.tensor.shape, s.role) for s in states} == {(("batch", 4), "h")}


def test_a_state_the_model_itself_gives_is_no_state_of_the_stream():
    states = states_of([named("a", initial_state=True), named("b")], 2, taken=[])
    assert [(s.layer, s.tensor.shape) for s in states] == [("b", (2, 4))]
