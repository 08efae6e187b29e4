"""Subclassed models: read by the shapes they were built with, exported like any other."""

import keras
import numpy as np
import tensorflow as tf

import rnn_deploy
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.keras.signature import signature_of
from tests.support.errors import raises
from tests.support.models import LONG, randomised

LAYERS = keras.layers
RNG = np.random.default_rng(2)


class Plain(keras.Model):
    """One tensor in, one out, with TensorFlow's own operations and states of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first = LAYERS.GRU(4, return_sequences=True, name="first")
        self.second = LAYERS.LSTM(3, return_sequences=True, name="second")

    def call(self, x):
        return tf.nn.relu(self.second(self.first(x))) - 0.5


class Several(keras.Model):
    """A dict in, a dict out, and another way in training."""

    def __init__(self):
        super().__init__(name="several")
        self.rnn = LAYERS.SimpleRNN(4, return_sequences=True, name="rnn")
        self.head = LAYERS.Dense(2, name="head")

    def call(self, inputs, training=False):
        both = self.rnn(keras.ops.concatenate([inputs["b"], inputs["a"]], axis=-1))
        if training:
            both = 100 * both
        return {"late": self.head(both[:, -1]), "all": both}


class Listed(keras.Model):
    def __init__(self):
        super().__init__()
        self.rnn = LAYERS.GRU(4, name="rnn")

    def call(self, tensors):
        left, right = tensors
        return self.rnn(left), right * 2


class Tokens(keras.Model):
    def __init__(self):
        super().__init__()
        self.embed = LAYERS.Embedding(9, 4, mask_zero=True)
        self.rnn = LAYERS.LSTM(4, name="rnn")

    def call(self, ids):
        return self.rnn(self.embed(ids))


class TwoArguments(Listed):
    def call(self, left, right):
        return self.rnn(left), right


def plain():
    model = Plain(name="plain")
    model(keras.Input((None, 3)))
    return randomised(model)


def exported(model, tmp_path, **options):
    bundle = rnn_deploy.export(model, tmp_path / "b", long=LONG, **options)
    report = rnn_deploy.verify(bundle)
    assert report.passed, report.verdict
    assert {c.check for c in report.comparisons} >= {"sequence", "states"}
    return rnn_deploy.load(bundle)


def test_a_model_of_ones_own_is_exported_with_its_states(tmp_path):
    model = plain()
    x = RNG.standard_normal((2, 5, 3)).astype("f")
    loaded = exported(model, tmp_path)
    np.testing.assert_allclose(loaded.predict(x), model(x).numpy(), atol=2e-6)
    stream = loaded.stream(2)
    pieces = [stream.step(x[:, :2]), stream.step(x[:, 2:])]
    np.testing.assert_allclose(np.concatenate(pieces, 1), model(x).numpy(), atol=2e-6)
    assert set(stream.state) == {"first_h_in", "second_h_in", "second_c_in"}


def test_dicts_keep_their_names_and_training_is_off(tmp_path):
    model = Several()
    feeds = {n: RNG.standard_normal((2, 5, w)).astype("f") for n, w in (("a", 2), ("b", 3))}
    model({name: keras.ops.convert_to_tensor(value) for name, value in feeds.items()})
    randomised(model)
    results = exported(model, tmp_path).predict(feeds)
    for name, value in model(feeds).items():
        np.testing.assert_allclose(results[name], value.numpy(), atol=2e-6)


def test_a_list_is_numbered(tmp_path):
    model = Listed()
    model([keras.Input((None, 3)), keras.Input((2,))])
    signature = signature_of(model)
    assert [str(t) for t in signature.inputs] == [
        "tensors_0 float32(batch, time, 3)", "tensors_1 float32(batch, 2)",
    ]  # fmt: skip
    assert signature.output_names == ("output_0", "output_1")
    exported(randomised(model), tmp_path)


def test_ids_are_known_by_samples(tmp_path):
    model = Tokens()
    ids = RNG.integers(0, 9, (2, 6)).astype("int32")
    model(ids)
    loaded = exported(randomised(model), tmp_path, samples={"ids": ids})
    np.testing.assert_allclose(loaded.predict(ids), model(ids).numpy(), atol=2e-6)


def test_a_length_it_was_called_with_is_left_open(tmp_path):
    model = Plain(name="plain")
    model(np.zeros((2, 5, 3), "f"))
    bundle = rnn_deploy.export(randomised(model), tmp_path / "b", long=LONG)
    shapes = {entry.name: entry.inputs[0].shape for entry in bundle.manifest.entries}
    assert shapes == {"sequence": ("batch", "time", 3), "stream": ("batch", "time", 3)}
    assert rnn_deploy.verify(bundle).passed


def test_a_model_that_was_never_called_is_refused():
    with raises(UnsupportedModelError, "E-MODEL-UNCALLED", "'plain'"):
        signature_of(Plain(name="plain"))


def test_several_arguments_are_refused():
    model = TwoArguments()
    model(np.zeros((2, 3, 4), "f"), np.zeros((2, 3), "f"))
    with raises(UnsupportedModelError, "E-MODEL-ARGUMENTS", "left, right"):
        signature_of(model)


class Masked(keras.Model):
    """A subclassed model whose second input is the mask of a layer."""

    def __init__(self):
        super().__init__()
        self.rnn = keras.layers.GRU(3, return_sequences=True)

    def call(self, inputs):
        return self.rnn(inputs[0], mask=inputs[1])


def dtypes_and_shapes(model, **options):
    inputs = plan_of(model, ExportOptions(**options)).sequence.entry.inputs
    return [(tensor.dtype, tensor.shape) for tensor in inputs]


def test_inputs_have_the_dtypes_that_the_model_was_called_with():
    x, mask = np.ones((2, 5, 3), "f"), np.ones((2, 5), bool)
    expected = [("float32", ("batch", "time", 3)), ("bool", ("batch", "time"))]
    model = Masked()
    model([x, mask])
    assert dtypes_and_shapes(model) == expected
    model = Masked()
    model([keras.Input((None, 3)), keras.Input((None,), dtype="bool")])
    assert dtypes_and_shapes(model) == expected


def test_token_ids_of_a_subclassed_model_are_integers_of_any_number():
    model = Tokens()
    model(np.array([[1, 2, 0]], "int32"))
    assert dtypes_and_shapes(model) == [("int32", ("batch", "time"))]
    assert dtypes_and_shapes(model, time=3) == [("int32", ("batch", 3))]


def test_a_model_that_only_runs_with_integers_is_called_with_them():
    class Picks(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = keras.layers.GRU(3)

        def call(self, ids):
            return self.rnn(keras.ops.take(keras.ops.eye(5), ids, axis=0))

    model = Picks()
    model(np.array([[1, 2, 0]], "int32"))
    assert dtypes_and_shapes(model)[0][0] == "int32"
