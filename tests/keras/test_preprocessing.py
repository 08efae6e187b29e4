"""Preprocessing layers at the start of a model become data, and the answers stay those of Keras."""

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.keras.opening import open_model
from rnn_deploy.keras.preprocessing import without_preprocessing
from tests.support.errors import raises


def random_weights(model):
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.standard_normal(weight.shape).astype("f"))
    return model


@pytest.fixture(scope="module")
def text_model():
    from keras import Input, Model, layers

    vectorize = layers.TextVectorization(vocabulary=["the", "cat", "sat", "été"], name="words")
    x = Input((1,), dtype="string", name="text")
    site = Input((2,), name="site")
    y = layers.Embedding(6, 3, mask_zero=True)(vectorize(x))
    y = layers.Concatenate()([layers.GRU(4, name="rnn")(y), site])
    model = Model({"text": x, "site": site}, layers.Dense(2, name="y")(y), name="texts")
    return random_weights(model)


TEXTS = ["The cat!", "", "sat été ÉTÉ dog", "the   cat sat the cat"]
SITE = np.random.default_rng(1).standard_normal((4, 2)).astype("f")


@pytest.fixture(scope="module")
def text_bundle(text_model, tmp_path_factory):
    place = tmp_path_factory.mktemp("text") / "b"
    return rnn_deploy.export(text_model, place, to=("onnx", "tflite"), long=0)


@pytest.mark.parametrize("runtime", ["ort-cpu", "litert"])
def test_the_same_text_gives_the_same_answer(text_model, text_bundle, runtime):
    feeds = {"text": np.array(TEXTS, object)[:, None], "site": SITE}
    expected = text_model(feeds).numpy()
    model = rnn_deploy.load(text_bundle, runtime)
    for texts in (TEXTS, np.array(TEXTS), [[text] for text in TEXTS], [t.encode() for t in TEXTS]):
        y = model.predict({"text": texts, "site": SITE})
        np.testing.assert_allclose(y, expected, rtol=0, atol=2e-6)
    ids = np.array([[2, 3, 0, 0], [0, 0, 0, 0], [4, 5, 1, 1], [2, 3, 4, 2]])  # they are taken too
    y = model.predict({"text": ids[[0, 1, 2]], "site": SITE[:3]})
    np.testing.assert_allclose(y, expected[:3], rtol=0, atol=2e-6)


def test_a_stream_takes_ids_and_no_text(text_bundle):
    model = rnn_deploy.load(text_bundle, "ort-cpu")
    assert rnn_deploy.verify(text_bundle, "ort-cpu").passed
    with raises(InputError, "E-INPUT-TEXT", "'text'", "predict"):
        model.stream().step({"text": ["the"], "site": SITE[:1]})
    one = model.stream().step({"text": [[2]], "site": SITE[:1]})
    whole = model.predict({"text": ["the"], "site": SITE[:1]})
    np.testing.assert_allclose(one, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "code"),
    [("the", "E-INPUT-TEXT"), ([""], "E-INPUT-TEXT"), ([["a", "b"]], "E-INPUT-TEXT")],
)
def test_what_is_no_list_of_texts_is_refused(text_bundle, texts, code):
    with raises(InputError, code, "'text'"):
        rnn_deploy.load(text_bundle, "ort-cpu").predict({"text": texts, "site": SITE[:1]})


def test_lookups_of_words_and_numbers(tmp_path):
    from keras import Input, Model, layers

    word, code = (
        Input((None,), dtype="string", name="word"),
        Input((3,), dtype="int64", name="code"),
    )
    words = layers.StringLookup(vocabulary=["a", "b"], mask_token="-")(word)
    codes = layers.IntegerLookup(vocabulary=[70, 10, 20], num_oov_indices=0)(code)
    y = layers.SimpleRNN(3, name="rnn")(layers.Embedding(4, 2)(words))
    z = layers.Flatten()(layers.Embedding(3, 2)(codes))
    keras_model = random_weights(Model([word, code], layers.Dense(2, name="y")(
        layers.Concatenate()([y, z]))))  # fmt: skip
    feeds = [
        np.array([["a", "c", "-"], ["b", "a", "a"]], object),
        np.array([[10, 20, 70], [70, 70, 10]]),
    ]
    bundle = rnn_deploy.export(keras_model, tmp_path / "b", to="onnx", long=0)
    assert bundle.manifest.extensions["attachments"].required  # 70 is no id
    model = rnn_deploy.load(bundle)
    y = model.predict(dict(zip(("word", "code"), feeds, strict=True)))
    np.testing.assert_allclose(y, keras_model(feeds).numpy(), rtol=0, atol=2e-6)
    for name, value in (("word", [[1, 2, 3]]), ("code", [["a", "b", "c"]]), ("code", [[0.5] * 3])):
        given = {"word": [["a"]], "code": [[10, 20, 70]]} | {name: value}
        with raises(InputError, "E-INPUT-TEXT", f"'{name}'"):
            model.predict(given)
    with raises(InputError, "E-INPUT-VOCABULARY", "'code'", "11"):
        model.predict({"word": [["a"]], "code": [[10, 20, 11]]})
    stream = model.stream(2)  # lookups of single words work in chunks too
    for t in range(3):
        last = stream.step({"word": feeds[0][:, t : t + 1], "code": feeds[1]})
    np.testing.assert_allclose(last, y, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        ("TextVectorization", {"output_mode": "tf_idf", "idf_weights": [1.0, 2.0]}, "tf_idf"),
        ("TextVectorization", {"output_mode": "multi_hot"}, "multi_hot"),
        ("TextVectorization", {"standardize": lambda x: x}, "standardize"),
        ("TextVectorization", {"split": lambda x: x[:, None]}, "split"),
        ("StringLookup", {"num_oov_indices": 2}, "2 indices"),
        ("StringLookup", {"output_mode": "one_hot"}, "one_hot"),
    ],
)
def test_settings_that_are_no_data_are_refused_by_the_layer_s_name(kind, settings, named):
    from keras import Input, Model, layers

    layer = getattr(layers, kind)(vocabulary=["a", "b"], name="odd", **settings)
    x = Input((1,), dtype="string", name="x")
    model = Model(x, layer(x))
    with raises(UnsupportedModelError, "E-MODEL-PREPROCESSING", "'odd'", named):
        without_preprocessing(open_model(model))


def test_other_models_stay_as_they_are(small_keras):
    opened = open_model(small_keras)
    assert without_preprocessing(opened) == (opened, {})
