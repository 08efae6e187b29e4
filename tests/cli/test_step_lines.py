"""Lines of JSON as the inputs and outputs of one step."""

import io
import json

import numpy as np
import pytest

from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.cli import step_lines
from rnn_deploy.cli.step_lines import StepLines, lines_in
from rnn_deploy.errors import InputError
from rnn_deploy.spec import EntryPoint, TensorSpec
from tests.support.errors import raises

X = TensorSpec("x", ("batch", "time", 3), "float32")
IDS = TensorSpec("ids", ("batch", "time"), "int32", 7)
WHERE = TensorSpec("where", ("batch", 2), "float32")
IMAGE = TensorSpec("image", ("batch", "time", 2, 2), "float32")
Y = TensorSpec("y", ("batch", "time", 2), "float32")
SUM = TensorSpec("sum", ("batch", 2), "float64")


def lines(*inputs, outputs=(Y,), attached=None):
    return StepLines(EntryPoint("stream", inputs, outputs), attached or Attachments(), 1)


@pytest.mark.parametrize(
    ("tensor", "text", "value"),
    [
        (X, b"[1, 2.5, 3]", [[[1, 2.5, 3]]]),
        (X, b'{"x": [1, "nan", "-inf"]}', [[[1, np.nan, -np.inf]]]),
        (X, b"\xef\xbb\xbf[1, 2, 3]\r\n", [[[1, 2, 3]]]),
        (IDS, b"6", [[6]]),
        (WHERE, b"[1, 2]", [[1, 2]]),
        (IMAGE, b"[[1, 2], [3, 4]]", [[[[1, 2], [3, 4]]]]),
    ],
)
def test_a_line_is_one_step_of_one_sequence(tensor, text, value):
    feeds = lines(tensor).feeds(1, text)
    assert feeds[tensor.name].dtype == tensor.dtype
    assert np.array_equal(feeds[tensor.name], np.array(value, tensor.dtype), equal_nan=True)


def test_several_inputs_are_an_object_by_name():
    feeds = lines(X, IDS).feeds(1, b'{"ids": 2, "x": [1, 2, 3]}')
    assert {name: value.shape for name, value in feeds.items()} == {"x": (1, 1, 3), "ids": (1, 1)}


@pytest.mark.parametrize(
    ("inputs", "text", "words"),
    [
        ((X,), b"[1, 2", ["JSON"]),
        ((X,), b"[1, 2, 3] [1, 2, 3]", ["JSON", "column 11"]),
        ((X,), b"\xff", ["UTF-8"]),
        ((X,), b"[" * 100_000, ["JSON"]),
        ((X,), b"[" + b"1" * 5000 + b"]", ["JSON"]),
        ((X,), b"[1, 2]", ["'x'", "3 numbers", "2 numbers"]),
        ((X,), b"1", ["'x'", "3 numbers", "one number"]),
        ((X,), b"[[1, 2, 3], [1, 2, 3]]", ["'x'", "(2, 3)"]),
        ((X,), b"[[1, 2], [3]]", ["'x'", "lengths"]),
        ((X,), b'["a", 1, 2]', ["'x'", "numbers"]),
        ((X,), b"[null, 1, 2]", ["'x'", "numbers"]),
        ((IDS,), b"[1]", ["'ids'", "one number"]),
        ((X,), b'{"z": [1, 2, 3]}', ["x", "z"]),
        ((X,), b"{}", ["x"]),
        ((X, IDS), b"[1, 2, 3]", ["x, ids"]),
        ((X, IDS), b'{"x": [1, 2, 3]}', ["x, ids"]),
    ],
)
def test_a_malformed_line_is_named_by_its_number(inputs, text, words):
    with raises(InputError, "E-DATA-LINE", "line 7: ", *words) as caught:
        lines(*inputs).feeds(7, text)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("tensor", "text"), [(IDS, b"2.5"), (X, b"[1e300, 0, 0]"), (IDS, b"99999999999")]
)
def test_a_number_that_the_model_cannot_hold_is_refused(tensor, text):
    with raises(InputError, "E-INPUT-DTYPE", "line 3: ", tensor.name):
        lines(tensor).feeds(3, text)


def test_raw_numbers_are_scaled_as_the_bundle_says():
    step = {"kind": "scaler", "offset": [1.0, 0.0, 0.0], "factor": [2.0, 1.0, 1.0]}
    attached = Attachments(steps={"x": [{**step, "dtype": "float32"}]})
    feeds = lines(X, attached=attached).feeds(1, b"[3, 4, 5]")
    assert np.array_equal(feeds["x"], [[[4, 4, 5]]])


def test_words_become_ids():
    step = {"kind": "strings", "vocabulary": ["a", "b"], "mask": None, "unknown": -1, "special": []}
    attached = Attachments(steps={"ids": [step]})
    assert lines(IDS, attached=attached).feeds(1, b'"b"')["ids"].shape == (1, 1)
    with raises(InputError, "E-INPUT-VOCABULARY", "line 2: ", "'c'"):
        lines(IDS, attached=attached).feeds(2, b'"c"')


def test_outputs_have_neither_batch_nor_time():
    y, total = np.array([[[0.5, np.nan]]], np.float32), np.array([[1.0, 2.0]])
    assert lines(X).line({"y": y}) == '[0.5, "nan"]'
    both = lines(X, outputs=(Y, SUM)).line({"y": y, "sum": total})
    assert json.loads(both) == {"y": [0.5, "nan"], "sum": [1.0, 2.0]}


def test_labels_are_in_the_line():
    attached = Attachments(labels={"y": ["cat", "dog"]})
    line = json.loads(lines(X, attached=attached).line({"y": np.array([[[0.25, 0.75]]])}))
    assert line["y_labels"] == [{"label": "dog", "value": 0.75}]


def test_blank_lines_count_and_the_last_line_may_lack_its_end():
    assert list(lines_in(io.BytesIO(b"1\n\n  \n2"))) == [(1, b"1\n"), (4, b"2")]


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(step_lines, "LONGEST", 10)
    assert list(lines_in(io.BytesIO(b"123456789\n"))) == [(1, b"123456789\n")]
    with raises(InputError, "E-DATA-LINE", "line 2: "):
        list(lines_in(io.BytesIO(b"1\n" + b"2" * 20)))
