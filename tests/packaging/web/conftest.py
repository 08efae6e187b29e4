"""Bundles, pages and a browser, each made once for all tests of the page."""

import json

import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.packaging.web.packager import PACKAGER
from rnn_deploy.packaging.writing import write_package
from tests.support.browser import CHROMIUM, Browser
from tests.support.models import randomised
from tests.support.ort_web import ort_web_folder

WORDS = "abcd efg"


def _exported(model, place, **given):
    from rnn_deploy import export

    return open_bundle(export(model, place, to=["onnx"], long=0, **given).root)


@pytest.fixture(scope="session")
def text_bundle(tmp_path_factory):
    """A character model: 0 and 1 are padding and unknown, then the letters of WORDS."""
    import keras

    size = len(WORDS) + 2
    x = inputs = keras.Input((None,), dtype="int32", name="letters")
    x = keras.layers.Embedding(size, 3, name="embedding")(x)
    x = keras.layers.GRU(6, return_sequences=True, name="gru")(x)
    outputs = keras.layers.Dense(size, activation="softmax", name="next")(x)
    model = randomised(keras.Model(inputs, outputs, name="letters"), scale=1.0)
    vocabulary = {"vocabulary": list(WORDS), "split": "character", "standardize": "lower"}
    place = tmp_path_factory.mktemp("text") / "bundle"
    return _exported(model, place, vocabulary=vocabulary)


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory):
    """Eight pixels in a row to ten classes, with pixels that are scaled."""
    import keras

    x = inputs = keras.Input((None, 8), name="rows")
    x = keras.layers.LSTM(5, name="lstm")(x)
    outputs = keras.layers.Dense(10, activation="softmax", name="digit")(x)
    model = randomised(keras.Model(inputs, outputs, name="digits"))
    scaler = {"mean": [0.25] * 8, "scale": [0.5] * 8}
    return _exported(model, tmp_path_factory.mktemp("digits") / "bundle", scaler=scaler)


@pytest.fixture(scope="session")
def packaged(tmp_path_factory):
    """Return a function that writes the page of a bundle."""

    def package(bundle, **options):
        files = PACKAGER.package(bundle, {"onnxruntime_web": ort_web_folder(), **options})
        place = tmp_path_factory.mktemp("page")
        if files.single:
            (content,) = files.files.values()
            (place / "page.html").write_bytes(content)
            return place / "page.html"
        write_package(PACKAGER, bundle, files.files, place / "page", force=False)
        return place / "page"

    return package


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not here")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def changed_json():
    """Return a function that changes a JSON file of a page."""

    def change(place, edit):
        facts = json.loads(place.read_text(encoding="utf-8"))
        edit(facts)
        place.write_text(json.dumps(facts), encoding="utf-8")

    return change
