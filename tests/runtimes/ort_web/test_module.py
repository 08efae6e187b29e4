"""rnn-model.js, as users call it: predict, streams, states, text, and errors."""

import json
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from rnn_deploy import load
from rnn_deploy.bundle import open_bundle
from rnn_deploy.inference.text import ids_of_text
from rnn_deploy.runtimes.ort_web.description import description
from rnn_deploy.spec import STREAM
from tests.support.ort_web import NODE, needs_node, ort_web_folder

JS = files("rnn_deploy.runtimes.ort_web").joinpath("js")
BEGIN = """
import { readFile } from "node:fs/promises";
const [js, engine, folder] = process.argv.slice(2).map((path) => `file://${path}`);
const { load } = await import(`${js}/rnn-model.js`);
const { idsOf } = await import(`${js}/rnn-text.js`);
const ort = await import(`${engine}/ort.wasm.bundle.min.mjs`);
const wasm = "ort-wasm-simd-threaded.wasm";
const read = async (path) => new Uint8Array(
  await readFile(new URL(path.startsWith("ort/") ? `${engine}/${wasm}` : `${folder}/${path}`)));
const list = ({ data }) => [...data].map(Number);
const refusal = async (call) => {
  try { await call(); } catch (error) { return [error.code, error.message]; }
  return null;
};
"""
CALLS = """
const model = await load(read, { ort });
const x = JSON.parse(process.argv[5]);
const whole = await model.predict({ x });
const stream = model.stream();
const first = await stream.step({ x: [x[0].slice(0, 2)] });
const saved = stream.state;
const rest = await stream.step({ x: [x[0].slice(2)] });
stream.reset();
const again = await stream.step({ x: [x[0].slice(0, 2)] });
stream.state = saved;
const refused = await refusal(() => stream.step({ x: [[[1, 2]]] }));
const both = await Promise.all(
  [[x[0][2]], x[0].slice(3)].map((piece) => stream.step({ x: [piece] })));
console.log(JSON.stringify({
  whole: list(whole.outputs.y), parts: [...list(first.y), ...list(rest.y)],
  again: list(again.y), first: list(first.y), resumed: both.flatMap(({ y }) => list(y)),
  rest: list(rest.y), finals: Object.values(whole.states).map(list),
  states: Object.values(stream.state).map(list), refused,
  unknown: await refusal(() => model.predict({ z: [1] })),
  missing: await refusal(() => model.predict({})),
  ragged: await refusal(() => model.predict({ x: [[[1, 2, 3]], [[1, 2, 3], [1, 2, 3]]] })),
  words: await refusal(() => model.predict({ x: [[["1", 2, 3]]] })),
  state: await refusal(() => model.predict({ x }, { h: { shape: [1, 1], data: [0] } })),
}));
"""
TEXTS = ["", "The cat's hat.", "  a\tB\n c ", "ÄÖ é straße İ", "[x] a-b_c", "a  b" * 3]
STEPS = [
    {"kind": "text", "standardize": standardize, "split": split, "ngrams": ngrams, "length": None,
     "pad": False, "vocabulary": ["", "[UNK]", "a", "b", "cat", "cats", "the", "a b", "ä"],
     "special": ["", "[UNK]"], "mask": "", "unknown": 1}
    for standardize, split, ngrams in [
        ("lower_and_strip_punctuation", "whitespace", None), ("lower", "character", None),
        (None, "whitespace", [1, 2]), ("strip_punctuation", None, None),
    ]
] + [
    {"kind": "tokenizer", "lower": True, "filters": "!.,-_[]\t\n", "separator": " ",
     "characters": characters, "words": 5, "unknown": unknown,
     "index": {"a": 1, "the": 2, "cat's": 3, "b": 4, "hat": 7, "?": 6}}
    for characters, unknown in [(False, None), (False, "b"), (True, "?")]
]  # fmt: skip


@pytest.fixture
def folder(small_bundle, tmp_path):
    """The model's files, as a package contains them."""
    bundle = open_bundle(small_bundle)
    entry = bundle.manifest.entry(STREAM)
    artifact = bundle.manifest.artifact("onnx", STREAM)
    place = tmp_path / "page"
    place.mkdir()
    (place / "model.json").write_text(json.dumps(description(bundle, entry, artifact)))
    (place / "model.onnx").write_bytes(bundle.read(artifact.path))
    return place


def node(script, tmp_path, *words):
    place = tmp_path / "script.mjs"
    place.write_text(BEGIN + script, encoding="utf-8")
    done = subprocess.run(
        [NODE, place, str(JS), ort_web_folder(), *map(str, words)],
        capture_output=True, text=True, timeout=60, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_predict_streams_and_states_agree_with_python(folder, small_bundle, x, tmp_path):
    found = node(CALLS, tmp_path, folder, json.dumps(x[:1].tolist()))
    wanted = load(small_bundle).predict(x[:1]).ravel()
    np.testing.assert_allclose(found["whole"], wanted, atol=1e-5)
    np.testing.assert_allclose(found["parts"], wanted, atol=1e-5)
    assert found["again"] == found["first"]
    np.testing.assert_allclose(found["resumed"], found["rest"], atol=1e-6)
    for one, other in zip(found["states"], found["finals"], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for name, code, part in (
        ("refused", "SHAPE", "(batch, time, 3)"),
        ("unknown", "INPUT", "no input 'z'"),
        ("missing", "INPUT", "'x' is missing"),
        ("ragged", "SHAPE", "different lengths"),
        ("words", "INPUT", "takes numbers"),
        ("state", "INPUT", "no input 'h'"),
    ):
        assert found[name][0] == code
        assert part in found[name][1]


@needs_node
def test_text_becomes_the_ids_of_python(tmp_path):
    script = """
const [steps, texts] = JSON.parse(process.argv[5]);
console.log(JSON.stringify(steps.map((step) => texts.map(idsOf(step)))));
"""
    found = node(script, tmp_path, tmp_path, json.dumps([STEPS, TEXTS]))
    for step, ids in zip(STEPS, found, strict=True):
        assert ids == [ids_of_text(step)([text])[0] for text in TEXTS], step
    assert len({json.dumps(ids) for ids in found}) == len(STEPS)
