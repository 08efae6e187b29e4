"""A page that generates: it equals `generate`, checks both halves, refuses what does not fit."""

import base64
import shutil

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError
from rnn_deploy.packaging.web.generating import OPTIONS, generates, generation_of
from rnn_deploy.packaging.web.packager import PACKAGER
from tests.support.browser import needs_browser, serving
from tests.support.errors import raises
from tests.support.ort_web import ort_web_folder
from tests.support.translators import SOURCES, TARGETS

SOURCE_WORDS = tuple("\0abcdefghij")
WORDS = ("<pad>", "<start>", "<end>", *"123456")
PROBLEM = "document.getElementById('problem').textContent"
BEST = "document.querySelector('.best-answer')?.textContent"
PHONE = 390


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory):
    place = tmp_path_factory.mktemp("vocabularies")
    assert (len(SOURCE_WORDS), len(WORDS)) == (SOURCES, TARGETS)
    (place / "source.txt").write_text("\n".join(SOURCE_WORDS) + "\n")
    (place / "output.txt").write_text("\n".join(WORDS) + "\n")
    return {
        "vocabulary": str(place / "output.txt"),
        "source_vocabulary": str(place / "source.txt"),
    }


@pytest.fixture(scope="module")
def page(translator_bundle, packaged, vocabularies):
    bundle = open_bundle(translator_bundle.root)
    return packaged(bundle, start="<start>", end="<end>", **vocabularies)


def options(**given):
    return {option.name: option.default for option in OPTIONS} | given


@pytest.mark.browser
@needs_browser
def test_typing_generates_what_the_runtime_generates(page, translator_bundle, browser):
    with rnn_deploy.load(translator_bundle.root) as model:
        ids = [[SOURCE_WORDS.index(letter) for letter in source] for source in ("abc", "hgfa")]
        found = model.generate(ids, start=1, end=2)
    texts = ["".join(WORDS[i] for i in each.ids) or "(nothing)" for each in found]
    with serving(page) as address:
        assert browser.open(address) == "passed", browser.text("body")
        for source, wanted, each in zip(("abc", "hgfa"), texts, found, strict=True):
            browser.evaluate("document.getElementById('source').value = ''")
            browser.type("#source", source)
            browser.until(f"{BEST} === {wanted!r}")
            share = f"{np.exp(each.score) * 100:.3g}"[:3]
            assert share in browser.text("#prediction")
            rows = browser.evaluate("document.querySelectorAll('.attention tbody tr').length")
            assert rows == len(each.ids) + each.ended
        browser.type("#source", "?")
        assert "'?'" in browser.until(PROBLEM).replace('"', "'")
        browser.evaluate("document.getElementById('source').value = 'x'")
        browser.evaluate("document.getElementById('source').value = ''")
        browser.evaluate("document.querySelector('button.main').click()")
        browser.until(f"{PROBLEM}.includes('no token')")
        assert browser.text("#median").endswith("ms")
        browser.look(PHONE, 900)
        assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("file", ["golden.json", "golden-encode.json"])
def test_a_corrupted_value_of_each_half_is_found(page, tmp_path, browser, changed_json, file):
    spoiled = shutil.copytree(page, tmp_path / "page")

    def spoil(facts):
        truth = next(iter(facts["cases"][0]["truth"].values()))
        values = np.frombuffer(base64.b64decode(truth["data"]), truth["dtype"]).copy()
        values[-1] += 0.5
        truth["data"] = base64.b64encode(values.tobytes()).decode()

    changed_json(spoiled / file, spoil)
    with serving(spoiled) as address:
        assert browser.open(address) == "failed"


@pytest.mark.browser
@needs_browser
def test_one_file_generates_from_a_disk(translator_bundle, packaged, browser):
    place = packaged(open_bundle(translator_bundle.root), start="1", end="2", single_file="yes")
    assert browser.open(place.as_uri()) == "passed", browser.text("body")
    browser.evaluate("document.getElementById('source').value = ''")
    browser.type("#source", "3 4 5")
    with rnn_deploy.load(translator_bundle.root) as model:
        (found,) = model.generate([[3, 4, 5]], start=1, end=2)
    browser.until(f"{BEST} === {' '.join(map(str, found.ids)) or '(nothing)'!r}")


def test_the_facts_name_tokens_memory_and_states(translator_bundle, vocabularies):
    found = generation_of(translator_bundle, options(start="<start>", end="id=2", **vocabularies))
    facts = found.facts()
    assert (facts["start"], facts["end"], facts["token"]) == (1, 2, "target")
    assert facts["memory"] == ["encoder", "encoder_mask"]
    assert facts["states"] == ["decoder_h_in", "decoder_c_in"]
    assert facts["attention"] == ["scores"]
    assert facts["vocabulary"]["tokens"] == list(WORDS)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "E-GENERATE-START"),
        ({"start": "<start>"}, "E-GENERATE-UNKNOWN-TOKEN"),
        ({"start": "99"}, "E-GENERATE-TOKEN"),
        ({"start": "1", "end": "99"}, "E-GENERATE-TOKEN"),
        ({"start": "1", "vocabulary": "missing.txt"}, "E-DATA-NOT-FOUND"),
        ({"start": "1", "split": "letters", "vocabulary": "missing.txt"}, "E-OPTION-CONTROL"),
    ],
)
def test_options_that_do_not_fit_are_refused(translator_bundle, given, code):
    with raises(InputError, code):
        generation_of(translator_bundle, options(**given))


def test_a_vocabulary_of_another_model_is_refused(translator_bundle, tmp_path):
    (tmp_path / "v.txt").write_text("\n".join(map(str, range(100, 130))))
    with raises(InputError, "E-GENERATE-VOCABULARY", "30"):
        generation_of(translator_bundle, options(start="1", vocabulary=str(tmp_path / "v.txt")))


def test_a_model_without_a_decoder_refuses_the_control_and_its_options(small_bundle):
    bundle = open_bundle(small_bundle)
    assert not generates(bundle, "onnx")
    for given in ({"control": "generate"}, {"start": "1"}):
        with raises(InputError, "E-OPTION-CONTROL"):
            PACKAGER.package(bundle, given)


def test_without_a_start_token_the_page_runs_the_whole_model_and_a_note_says_so(
    translator_bundle,
):
    bundle = open_bundle(translator_bundle.root)
    assert generates(bundle, "onnx")
    files = PACKAGER.package(bundle, {"onnxruntime_web": ort_web_folder()})
    assert any("--start" in note for note in files.notes)
    assert "encode.onnx" not in files.files
