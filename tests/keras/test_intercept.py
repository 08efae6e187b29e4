"""Standing in for Keras' loops leaves Keras and the model as they were."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_deploy.keras.intercept import computing_in, intercepting, unused
from rnn_deploy.keras.signature import call_flat
from tests.support.models import small_model

layers = keras.layers
X = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)


def proceeding(calls):
    """A handler that lets Keras' own loop run, and keeps the calls."""

    def handler(call):
        calls.append(call)
        return call.proceed(call.initial_state)

    return handler


def test_every_call_is_seen_in_order_and_answered():
    model, calls = small_model(), []
    plain = model(X)
    with intercepting(proceeding(calls)):
        seen = model(X)
    assert [call.name for call in calls] == ["first", "second"]
    assert all(call.initial_state is None and call.mask is None for call in calls)
    assert np.array_equal(seen, plain)


def test_the_handler_s_answer_is_what_the_model_computes_with():
    model = small_model()

    def zero(call):
        output, states = call.proceed(None)
        return 0 * output, states

    with intercepting(zero):
        found = model(X)
    bias = model.get_layer("y").bias.numpy()
    assert np.array_equal(found, np.broadcast_to(bias, (2, 4, 2)))


class Decorated(layers.Layer):
    """Its call is a tf.function, which keeps the graph of what it was called with before."""

    def __init__(self):
        super().__init__()
        self.rnn = layers.SimpleRNN(4, name="rnn")

    def build(self, shape):
        self.rnn.build(shape)

    @tf.function
    def call(self, x):
        if tf.reduce_sum(x) > 1e9:  # needs autograph
            x = -x
        return self.rnn(x)


def test_a_call_within_a_tf_function_is_seen_and_may_be_used_outside():
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, Decorated()(x))
    values = tf.ones((2, 5, 3))
    expected = model(values)
    calls = []

    def seen(values):
        with intercepting(proceeding(calls)):
            return model(values)

    traced = tf.function(seen, autograph=False).get_concrete_function(values)
    assert np.allclose(traced(values), expected)
    assert [call.name for call in calls] == ["rnn"]
    assert calls[0].sequences.graph is traced.graph


def test_a_layer_called_again_gets_a_name_of_its_own():
    x = keras.Input((None, 4))
    rnn = layers.SimpleRNN(4, return_sequences=True, name="rnn")
    model, calls = keras.Model(x, layers.SimpleRNN(4, name="rnn_2")(rnn(rnn(x)))), []
    with intercepting(proceeding(calls)):
        model(np.zeros((1, 2, 4), np.float32))
    assert [call.name for call in calls] == ["rnn", "rnn_2", "rnn_2_2"]


def test_unused_takes_the_first_free_suffix():
    assert unused("a", set()) == "a"
    assert unused("a", {"a"}) == "a_2"
    assert unused("a", {"a", "a_2", "a_3"}) == "a_4"


def test_an_initial_state_of_the_model_reaches_the_handler():
    x, h, calls = keras.Input((None, 3)), keras.Input((4,)), []
    model = keras.Model([x, h], layers.SimpleRNN(4, name="rnn")(x, initial_state=h))
    given = np.full((2, 4), 0.5, np.float32)
    with intercepting(proceeding(calls)):
        seen = model([X, given])
    assert np.array_equal(calls[0].initial_state[0], given)
    assert np.array_equal(seen, model([X, given]))
    assert not np.array_equal(seen, model([X, 0 * given]))


def fingerprint(model):
    """Everything that interception changes for a while."""
    return (
        layers.RNN.call,
        keras.config.is_traceback_filtering_enabled(),
        [layer.dtype_policy for layer in model._flatten_layers()],
        [
            (layer.return_state, layer.stateful, layer.unroll)
            for layer in model._flatten_layers()
            if isinstance(layer, layers.RNN)
        ],
        [w.tobytes() for w in model.get_weights()],
    )


@pytest.mark.parametrize("fail", [False, True])
def test_everything_is_restored_also_after_an_exception(fail):
    model = small_model()
    before = fingerprint(model)

    def handler(call):
        result = call.proceed(None)
        if fail:
            raise RuntimeError("planted")
        return result

    def run():
        with computing_in(model, "float64"), intercepting(handler):
            assert fingerprint(model) != before
            call_flat(model, [X])

    if fail:
        with pytest.raises(RuntimeError, match=r"^planted$"):  # Keras adds nothing to it
            run()
    else:
        run()
    assert fingerprint(model) == before


def test_keras_loop_failing_leaves_the_layer_as_it_was():
    model = small_model()
    before = fingerprint(model)
    wrong = [np.zeros((2, 9), np.float32)]
    with (
        pytest.raises(Exception, match=r"(?i)matri|shape|dimension"),
        intercepting(lambda call: call.proceed(wrong)),
    ):
        model(X)
    assert fingerprint(model) == before


def test_traceback_filtering_stays_off_where_it_was_off():
    keras.config.disable_traceback_filtering()
    try:
        with intercepting(proceeding([])):
            pass
        assert not keras.config.is_traceback_filtering_enabled()
    finally:
        keras.config.enable_traceback_filtering()


def test_a_stateful_layer_s_own_state_is_neither_read_nor_written():
    x = keras.Input(batch_shape=(2, None, 3))
    model = keras.Model(x, layers.SimpleRNN(4, stateful=True, name="rnn")(x))
    fresh = model(X).numpy()
    left = model.layers[1].states[0].numpy().copy()
    with intercepting(proceeding([])):
        again = model(X)
    assert np.array_equal(again, fresh)
    assert np.array_equal(model.layers[1].states[0], left)


def test_float64_reads_the_float32_weights_exactly():
    layer = layers.Dense(2, name="d")
    x = keras.Input((3,))
    model = keras.Model(x, layer(x))
    given = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    with computing_in(model, "float64"):
        found = model(given)
    kernel, bias = (w.astype(np.float64) for w in layer.get_weights())
    assert found.dtype == "float64"
    np.testing.assert_allclose(
        found, given.astype(np.float64) @ kernel + bias, rtol=1e-14, atol=1e-14
    )
