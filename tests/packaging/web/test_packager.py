"""`--for web`: the page in a real browser checks itself, reacts, and stays on its origin."""

import base64
import json
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest

from rnn_deploy import load
from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.packaging.web import packager
from rnn_deploy.packaging.web.packager import PACKAGER
from rnn_deploy.spec import TensorSpec
from tests.support.browser import needs_browser, serving
from tests.support.errors import raises
from tests.support.ort_web import ort_web_folder

pytestmark = [pytest.mark.browser, needs_browser]
PHONE = 390
TEXT = "document.getElementById('text').value"
PROBLEM = "document.getElementById('problem').textContent"
BEST = "document.querySelector('.best-answer').textContent"


@pytest.fixture(scope="module")
def text_page(text_bundle, packaged):
    return packaged(text_bundle)


@pytest.fixture
def small_page(small_bundle, packaged):
    return packaged(open_bundle(small_bundle))


def own(urls, address):
    """Whether every request went to the page's own origin, or nowhere (data:, blob:)."""
    wanted = {urlsplit(address).netloc, ""}
    return {urlsplit(url).netloc for url in urls if not url.startswith("blob:")} <= wanted


def test_the_self_check_passes_and_nothing_leaves_the_origin(small_page, browser):
    with serving(small_page) as address:
        assert browser.open(address) == "passed", browser.text("body")
        assert own(browser.requests, address)
        assert any(url.endswith("ort/ort-wasm.wasm") for url in browser.requests)
    text = browser.evaluate("document.getElementById('comparisons').textContent")
    for part in ("whole", "step by step", "output y", "state "):
        assert part in text
    assert "outside" not in text
    assert not own(["https://example.org/a", *browser.requests], address)  # the check can fail


def test_one_file_works_from_a_disk(text_bundle, packaged, browser):
    place = packaged(text_bundle, single_file="yes")
    assert browser.open(place.as_uri()) == "passed", browser.text("body")
    assert [url for url in browser.requests if urlsplit(url).scheme not in ("blob", "data")] == [
        place.as_uri()
    ]


@pytest.mark.parametrize(("kind", "name"), [("output", "y"), ("state", None)])
def test_a_corrupted_golden_value_is_located(small_page, browser, changed_json, kind, name):
    entry = open_bundle_entry(small_page)
    name = name or entry["states"][1]["next"]
    where = {}

    def spoil(facts):
        truth = facts["cases"][0]["truth"][name]
        values = np.frombuffer(base64.b64decode(truth["data"]), truth["dtype"]).copy()
        at = values.size // 2
        values[at] += 0.5
        truth["data"] = base64.b64encode(values.tobytes()).decode()
        index = np.unravel_index(at, truth["shape"])
        where["place"] = f"{name}[{', '.join(map(str, index))}]"

    changed_json(small_page / "golden.json", spoil)
    with serving(small_page) as address:
        assert browser.open(address) == "failed"
        first = browser.evaluate("document.querySelector('main section').id")
    assert first == "check"
    assert browser.text("#badge") == "Self-check failed"
    assert f"{kind} {where['place']}" in browser.text("#wrong")


def open_bundle_entry(page):
    return json.loads((page / "model.json").read_text(encoding="utf-8"))["entry"]


def test_the_weights_of_another_model_are_found(small_page, browser):
    model = small_page / "model.onnx"
    content = bytearray(model.read_bytes())
    weight = np.float32(load_weight(small_page))
    at = content.index(weight.tobytes())
    content[at : at + 4] = np.float32(weight + 1).tobytes()
    model.write_bytes(bytes(content))
    with serving(small_page) as address:
        assert browser.open(address) == "failed"


def load_weight(page):
    """A weight of the model that its file contains once."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(page / "model.onnx").graph
    matrices = (numpy_helper.to_array(t) for t in graph.initializer)
    return next(m.flat[0] for m in matrices if m.dtype == np.float32 and m.size > 4)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.onnx", None, "model.onnx is missing (status 404)"),
        ("model.onnx", b"cut", "model.onnx has 3 bytes"),
        ("golden.json", None, "golden.json is missing"),
        ("ort/ort-wasm.wasm", None, "ort/ort-wasm.wasm is missing"),
    ],
)
def test_a_page_without_one_of_its_files_says_so(
    text_page, tmp_path, browser, file, content, message
):
    page = shutil.copytree(text_page, tmp_path / "page")
    (page / file).unlink()
    if content is not None:
        (page / file).write_bytes(content)
    with serving(page) as address:
        assert browser.open(address) == "error"
    assert message in browser.text("#failure")
    assert browser.text("#badge") == "The model did not load"


def test_a_folder_that_is_opened_from_a_disk_says_what_to_do(text_page, browser):
    assert browser.open((text_page / "index.html").as_uri()) == "error"
    assert "--single-file" in browser.text("#failure")


def test_typing_changes_the_prediction(text_page, text_bundle, browser):
    model = load(text_bundle.root)
    with serving(text_page) as address:
        assert browser.open(address) == "passed"
        browser.evaluate("document.getElementById('text').value = ''")
        seen = set()
        for typed in ("a", "ab ", "ab dg"):
            browser.type(
                "#text", typed[len(browser.evaluate("document.getElementById('text').value")) :]
            )
            wanted = model.predict([typed])[0, -1]
            best = int(wanted.argmax())
            share = f"{wanted[best] * 100:.1f}%"
            browser.until(f"{BEST}.endsWith({share!r})")
            seen.add(browser.evaluate(BEST))
        assert len(seen) > 1
        browser.evaluate("document.getElementById('text').value = ''")
        browser.type("#text", "d")
        click(browser, "Write on")
        browser.until("document.getElementById('text').value.length > 40")


def test_drawing_by_keyboard_and_mouse_changes_the_prediction(digits_bundle, packaged, browser):
    model = load(digits_bundle.root)
    with serving(packaged(digits_bundle)) as address:
        assert browser.open(address) == "passed"
        click(browser, "Clear")
        blank = f"{model.predict(np.zeros((1, 8, 8)))[0].max() * 100:.1f}%"
        browser.until(f"{BEST}.endsWith({blank!r})")
        browser.evaluate("document.querySelector('.pad').focus()")
        browser.press("ArrowUp", "ArrowUp", 38)
        browser.press(" ", "Space", 32)
        drawn = np.zeros((1, 8, 8))
        drawn[0, 3, 4] = 1
        wanted = f"{model.predict(drawn)[0].max() * 100:.1f}%"
        assert wanted != blank
        browser.until(f"{BEST}.endsWith({wanted!r})")
        assert "row 4, column 5, filled" in browser.text("#control .spoken")
        click(browser, "Clear")
        browser.until(f"{BEST}.endsWith({blank!r})")
        box = browser.evaluate(
            "(() => { const b = document.querySelector('.pad').getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            browser.call(
                "Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left",
                buttons=1, clickCount=1,
            )  # fmt: skip
        browser.until(f"!{BEST}.endsWith({blank!r})")


def click(browser, label):
    browser.evaluate(
        f"[...document.querySelectorAll('button')].find(b => b.textContent === {label!r}).click()"
    )


def test_a_table_streams_row_by_row(small_page, small_bundle, browser):
    lines = ["0.5,1,-1", "0.25,0,2", "1,1,1"]
    x = np.array([[list(map(float, line.split(","))) for line in lines]], np.float32)
    wanted = load(small_bundle).predict(x)[0]
    figures = "[...document.querySelectorAll('#prediction dd')].map(d => Number(d.textContent))"
    with serving(small_page) as address:
        assert browser.open(address) == "passed"
        browser.evaluate("document.getElementById('csv').value = ''")
        browser.type("#csv", "a,b,c\n" + "\n".join(lines))
        browser.until(f"Math.abs({figures}[0] - {wanted[2, 0]}) < 1e-3")
        click(browser, "Stream row by row")
        browser.until("document.body.innerText.includes('row 1 of 3')")
        browser.until(f"Math.abs({figures}[0] - {wanted[0, 0]}) < 1e-3")
        browser.until("document.body.innerText.includes('row 3 of 3')")
        browser.until(f"Math.abs({figures}[1] - {wanted[2, 1]}) < 1e-3")
        browser.type("#csv", "\n1,2,x")
        assert "row 4: 'x' is no number" in browser.until(PROBLEM)
        browser.type("#csv", "\n1,2")
        browser.evaluate("document.getElementById('csv').value = '1,2'")
        browser.type("#csv", "\n")
        browser.until(f"{PROBLEM}.includes('expected 3 numbers, got 2')")


@pytest.mark.parametrize("control", ["text", "draw", "csv", "table"])
def test_it_fits_a_phone_and_every_control_has_a_name(
    control, text_bundle, digits_bundle, packaged, browser
):
    bundle = text_bundle if control == "text" else digits_bundle
    with serving(packaged(bundle, control=control)) as address:
        assert browser.open(address) == "passed"
        shots = [browser.look(PHONE, 900), browser.look(PHONE, 900, dark=True)]
        assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert shots[0] != shots[1]
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "slider", "application", "image", "img", "region", "table"}
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in nodes
        if not node.get("ignored") and node["role"]["value"] in roles
    ]
    assert {"button", "slider"} <= {role for role, _ in named}
    assert [role for role, name in named if not name] == []
    small = browser.evaluate(
        "[...document.querySelectorAll('button')].filter(b => b.offsetHeight < 40).length"
    )
    assert small == 0


def test_latency_and_plots_are_shown(small_page, browser):
    with serving(small_page) as address:
        assert browser.open(address) == "passed"
        assert browser.text("#median").endswith("ms")
        assert browser.text("#p95").endswith("ms")
        assert int(browser.text("#count")) > 20
        names = browser.evaluate(
            "[...document.querySelectorAll('figcaption strong')].map(e => e.innerText)"
        )
        assert names == ["Output y", "State first (h)", "State second (h)"]
        browser.evaluate("document.getElementById('step').focus()")
        before = browser.text("#step-text")
        browser.press("ArrowLeft", "ArrowLeft", 37)
        assert browser.text("#step-text") != before


def test_a_model_that_the_runtime_gets_wrong_is_refused(small_bundle, monkeypatch):
    monkeypatch.setattr(packager, "artifact_wrong_on", lambda *_: "it gets layer 'first' wrong")
    with raises(RuntimeUnavailableError, "E-RUNTIME-WRONG", "first"):
        PACKAGER.package(open_bundle(small_bundle), {"onnxruntime_web": ort_web_folder()})


def test_a_type_without_arrays_in_javascript_is_refused(small_bundle, monkeypatch):
    half = [TensorSpec("y", ("batch", 2), "float16")]
    monkeypatch.setattr(packager, "unsupported_dtypes", lambda entry: half)
    with raises(InputError, "E-OPTION-WEB-DTYPE", "float16"):
        PACKAGER.package(open_bundle(small_bundle), {})


def test_a_bundle_without_onnx_and_an_option_of_another_packager_are_refused(masked, small_bundle):
    with raises(InputError, "E-BUNDLE-NO-ARTIFACT", "--to onnx"):
        PACKAGER.package(masked, {})
    with raises(InputError, "E-OPTION-PACKAGER", "prefix", "--control"):
        PACKAGER.package(open_bundle(small_bundle), {"prefix": "voice"})
