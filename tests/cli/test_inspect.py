import json

import keras
import pytest

from rnn_deploy.bundle.store import MANIFEST


def _rows(text):
    """The cells of every table's rows."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [tuple(cell.strip() for cell in line.split("│")[1:-1]) for line in lines]


def test_a_bundle_is_shown_with_every_tensor_state_lowering_and_file(command, small_bundle):
    ended = command("inspect", small_bundle)
    assert ended.code == 0
    assert "made from small.keras (.keras), weights " in ended.out
    rows = _rows(ended.out)
    for entry in ("sequence", "stream"):
        assert (entry, "input", "x float32(batch, time, 3)") in rows
        assert (entry, "output", "y float32(batch, time, 2)") in rows
    state = "second_h_in float32(batch, 4), leaves as second_h_out"
    assert ("stream", "state h", state) in rows
    assert ("sequence", "state h", state) not in rows
    data = json.loads((small_bundle / MANIFEST).read_text())
    for artifact in data["artifacts"]:
        for choice in artifact["choices"]:
            row = next(
                r for r in rows if r[:3] == (artifact["format"], artifact["entry"], choice["layer"])
            )
            assert row[3:6] == ("simple_rnn", str(choice["units"]), choice["lowering"])
    for record in (r for r in data["files"] if "/" not in r["path"]):
        assert (record["path"], f"{record['size']:,}", record["sha256"][:12]) in rows
    assert "stream: can run in chunks (measured in float64" in ended.err


def test_json_of_a_bundle_is_its_manifest(command, small_bundle):
    ended = command("inspect", small_bundle, "--json")
    assert json.loads(ended.out) == json.loads((small_bundle / MANIFEST).read_text())


def test_what_a_model_would_become_is_what_it_becomes(command, small_keras, small_bundle):
    ended = command("inspect", small_keras, "--json")
    assert ended.code == 0
    printed, data = json.loads(ended.out), json.loads((small_bundle / MANIFEST).read_text())
    assert printed["kind"] == ".keras"
    assert printed["written_by"] == f"Keras {keras.__version__}"
    made = [
        {"format": artifact["format"], "entry": artifact["entry"], **choice}
        for artifact in data["artifacts"]
        if artifact["entry"] != "step"  # whether there is one is measured on export
        for choice in artifact["choices"]
    ]
    assert printed["layers"] == made
    for planned, exported in zip(printed["entries"], data["entries"], strict=True):
        measured = {"chunked": None, "rows": None}
        assert {**planned, **measured} == {**exported, **measured}


def test_a_model_is_drawn_too(command, small_keras):
    rows = _rows(command("inspect", small_keras).out)
    assert ("stream", "input", "x float32(batch, time, 3)") in rows
    assert ("tflite", "stream", "second", "simple_rnn", "4", "inplace") in {row[:6] for row in rows}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: None, "E-BUNDLE-NOT-FOUND"),
        (lambda place: place.write_text("x"), "E-SOURCE-FORMAT"),
        (lambda place: place.mkdir(), "E-SOURCE-FORMAT"),
    ],
    ids=["missing", "text", "folder"],
)
def test_what_is_neither_bundle_nor_model_is_refused(command, tmp_path, make, message):
    make(tmp_path / "thing")
    command("inspect", tmp_path / "thing").refused(2, "thing: ", message)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "E-BUNDLE-DAMAGED"),
        (b"\xff", "E-BUNDLE-DAMAGED"),
        (b'{"schema_version": 999}', "E-BUNDLE-NEWER"),
        (b'{"schema_version": 1}', "E-BUNDLE-TOO-OLD"),
        (b"[" * 100_000, "E-BUNDLE-DAMAGED"),
    ],
)
def test_a_damaged_or_foreign_manifest_is_refused(command, small_bundle, content, code):
    (small_bundle / MANIFEST).write_bytes(content)
    command("inspect", small_bundle).refused(2, code, str(small_bundle / MANIFEST))


def test_every_runtime_has_a_row_with_its_result_and_files(command, small_bundle):
    rows = {row[0]: row[1:] for row in _rows(command("inspect", small_bundle).out) if row[0]}
    assert rows["ort-cpu"][0] == "not tested"
    assert "sequence.onnx" in rows["ort-cpu"][2]
    assert rows["tflite-micro"][0] == "not tested"
    place = small_bundle / MANIFEST
    data = json.loads(place.read_text())
    for artifact in data["artifacts"]:
        for choice in artifact["choices"] if artifact["format"] == "onnx" else ():
            choice["not_on"] = ["openvino-cpu"]
    place.write_text(json.dumps(data))
    (small_bundle / "model.tflite").write_bytes(b"nothing")
    ended = command("inspect", small_bundle, "--test")
    rows = {row[0]: row[1:] for row in _rows(ended.out) if row[0]}
    assert rows["ort-cpu"][0] == "right"
    assert rows["openvino-cpu"][0] == "wrong"
    assert rows["litert"][0] == "wrong"
    command("inspect", small_bundle, "--test", "--json").refused(2, "E-OPTION-CONFLICT", "--test")
