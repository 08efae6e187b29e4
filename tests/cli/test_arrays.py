import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnn_deploy.cli.arrays import (
    ENDINGS,
    check_output,
    json_lines,
    read_arrays,
    read_npz,
    write_arrays,
)
from rnn_deploy.errors import InputError
from rnn_deploy.spec import EntryPoint, TensorSpec
from tests.support.errors import raises

X = TensorSpec("x", ("batch", "time", 3), "float32")
IDS = TensorSpec("ids", ("batch", "time"), "int32", below=7)
ROWS = TensorSpec("rows", ("batch", 3), "float32")


def _entry(*inputs):
    return EntryPoint("sequence", inputs, ())


def _giving(*outputs):
    return EntryPoint("sequence", (X,), outputs)


def _written(place, content):
    place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return place


ONES = np.ones((2, 30, 3), np.float32)
finite = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=3).map(lambda s: (*s[:2], 3)),
    elements=st.floats(width=32, allow_nan=True),
)


@given(finite)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("ending", [".npz", ".npy", ".jsonl", ".NPZ", ".NPY"])
def test_what_is_written_is_read_back_to_the_bit(tmp_path, ending, value):
    place = tmp_path / f"x{ending}"
    write_arrays(place, {"x": value})
    assert [p.name for p in tmp_path.iterdir()] == [place.name]
    np.testing.assert_array_equal(read_arrays(place, _entry(X))["x"], value, strict=True)


@given(finite)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_sequence_goes_through_csv_to_the_bit(tmp_path, value):
    place = tmp_path / "x.csv"
    write_arrays(place, {"x": value[:1]})
    np.testing.assert_array_equal(read_arrays(place, _entry(X))["x"], value[:1], strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "bool"])
def test_rows_go_through_csv_to_the_bit(tmp_path, dtype):
    rows = (1e12 * np.random.default_rng(0).standard_normal((4, 3))).clip(-6e4, None)
    rows = (rows if dtype == "int64" else rows / 1e13).astype(dtype)
    write_arrays(tmp_path / "y.csv", {"rows": rows})
    again = read_arrays(tmp_path / "y.csv", _entry(replace(ROWS, dtype=dtype)))["rows"]
    np.testing.assert_array_equal(again, rows, strict=True)


@pytest.mark.parametrize("ending", [".npz", ".jsonl"])
def test_several_arrays_go_by_name_even_by_awkward_ones(tmp_path, ending):
    rng = np.random.default_rng(0)
    names = ("file", "allow_pickle", "a/b", "é")
    arrays = {name: rng.standard_normal((2, 4, 3)).astype("f") for name in names}
    write_arrays(tmp_path / f"y{ending}", arrays)
    entry = _entry(*(TensorSpec(name, X.shape, "float32") for name in names))
    again = read_arrays(tmp_path / f"y{ending}", entry)
    assert set(again) == set(names)
    for name in names:
        np.testing.assert_array_equal(again[name], arrays[name], strict=True)


def test_arrays_keep_their_dtype_and_text_takes_the_model_s(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((1, 2, 3)))
    assert read_arrays(tmp_path / "x.npy", _entry(X))["x"].dtype == np.float64
    place = _written(tmp_path / "ids.csv", "0,6\n-7,3\n")
    expected = np.array([[0, 6], [-7, 3]], np.int32)
    np.testing.assert_array_equal(read_arrays(place, _entry(IDS))["ids"], expected, strict=True)


# CSV


@pytest.mark.parametrize(
    ("text", "tensor"),
    [
        ("0,1,2\n3,4,5\n", X),  # every line may count
        ("0.0,1,2\n.1,2,3\n", X),
        ("0,1,2,3\n", IDS),
        ("0,1\n.5,1\n", replace(X, shape=("batch", "time", 2))),
    ],
)
def test_a_first_line_that_may_be_data_is_data(tmp_path, text, tensor):
    place = _written(tmp_path / "x.csv", text)
    value = read_arrays(place, _entry(tensor))[tensor.name]
    assert value.size == text.count(",") + text.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4,5,6\n",
        "1,2,3\r\n4,5,6",
        "a,b,c\n1,2,3\n4,5,6\n",
        '"1","2","3"\n"4","5","6"\n',
        "\n1,2,3\n\n4,5,6\n\n",
        " 1, 2, 3\n4 ,5 ,6 \n",
        "1e0,2.,3\n+4,5,6\n",
        "\ufeff1,2,3\n4,5,6\n",
        "\ufeffa,b,c\n1,2,3\n4,5,6\n",
    ],
)
def test_no_line_of_numbers_is_lost(tmp_path, text):
    place = _written(tmp_path / "x.csv", text)
    expected = np.array([[[1, 2, 3], [4, 5, 6]]], np.float32)
    np.testing.assert_array_equal(read_arrays(place, _entry(X))["x"], expected, strict=True)


@pytest.mark.parametrize(
    ("text", "code", "names"),
    [
        ("", "E-DATA-RAGGED", ["no values"]),
        ("a,b,c\n", "E-DATA-RAGGED", ["no values"]),
        ("1,2,3\n4,5\n", "E-DATA-RAGGED", ["[2, 3]"]),
        ("1,2,3\n\n4,x,6\n", "E-DATA-TEXT", ["line 3", "'x'", "--id"]),
        (",2,3\n4,5,6\n", "E-DATA-TEXT", ["line 1", "''", "missing"]),
        ("name,2,3\n4,5,6\n", "E-DATA-TEXT", ["'name'"]),
        ("1,2,3\na,b,c\n", "E-DATA-TEXT", ["'a'"]),
        ("1;2;3\n4;5;6\n", "E-DATA-TEXT", ["';'"]),
        ("0,1,2\n.1,2,3\n4,5,6\n", "E-DATA-HEADER", ["0, 1, 2", "0.0"]),
        (b"1,2,\xff\n", "E-DATA-DAMAGED", ["utf-8"]),
        (b"1,\x002,3\n", "E-DATA-TEXT", ["line 1"]),
    ],
)
def test_a_csv_that_is_not_one_table_of_numbers_is_refused(tmp_path, text, code, names):
    place = _written(tmp_path / "x.csv", text)
    with raises(InputError, code, "x.csv", *names):
        read_arrays(place, _entry(X))


@pytest.mark.parametrize("text", ["1.5,2\n", "nan,1\n", "inf,1\n", "4294967297,1\n", "1e20,1\n"])
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_tokens_are_whole_numbers_that_fit(tmp_path, text, ending):
    line = text.replace("nan", "NaN").replace("inf", "Infinity").strip()
    place = _written(tmp_path / f"ids{ending}", text if ending == ".csv" else f"[{line}]\n")
    found = text.split(",")[0].strip().replace("1e20", "1e+20")
    with raises(InputError, "E-DATA-DTYPE", "'ids'", "int32", found):
        read_arrays(place, _entry(IDS))


def test_what_is_neither_true_nor_false_is_no_bool(tmp_path):
    mask = TensorSpec("mask", ("batch", "time"), "bool")
    place = _written(tmp_path / "m.jsonl", "[true, false, 1, 0]\n")
    expected = np.array([[True, False, True, False]])
    np.testing.assert_array_equal(read_arrays(place, _entry(mask))["mask"], expected, strict=True)
    with raises(InputError, "E-DATA-DTYPE", "'mask'", "bool", "0.5"):
        read_arrays(_written(place, "[0.5, 1]\n"), _entry(mask))


# JSON Lines


def test_what_json_has_no_number_for_is_written_and_read_as_words(tmp_path):
    value = np.array([[[1, np.nan, 2], [np.inf, -np.inf, 3]]], np.float32)

    def refuse(word):
        raise ValueError(word)  # NaN and Infinity are no JSON

    for arrays in ({"x": value}, {"x": value, "z": value}):
        (line,) = json_lines(arrays)
        read = json.loads(line, parse_constant=refuse)
        rows = read if len(arrays) == 1 else read["x"]
        assert rows == [[1.0, "nan", 2.0], ["inf", "-inf", 3.0]]
    place = _written(tmp_path / "x.jsonl", json_lines({"x": value})[0])
    np.testing.assert_array_equal(read_arrays(place, _entry(X))["x"], value, strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "[[1,2,3],[4,5,6]]\n[[7,8,9],[0,0,1]]\n",
        '{"x": [[1,2,3],[4,5,6]]}\n\n{"x": [[7,8,9],[0,0,1]]}',
        "[[1,2,3],[4,5,6]]\r\n[[7,8,9],[0,0,1.0]]\r\n",
        "\ufeff[[1,2,3],[4,5,6]]\n[[7,8,9],[0,0,1]]\n",
    ],
)
def test_each_line_of_json_is_a_sequence(tmp_path, text):
    place = _written(tmp_path / "x.jsonl", text)
    expected = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 0, 1]]], np.float32)
    np.testing.assert_array_equal(read_arrays(place, _entry(X))["x"], expected, strict=True)


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("", "E-DATA-EMPTY", ""),
        ("\n \n", "E-DATA-EMPTY", ""),
        ("{", "E-DATA-DAMAGED", "Expecting"),
        ("[[1,2,3]]\n[[1,2,3]\n", "E-DATA-DAMAGED", "Expecting"),
        ("[" * 100_000, "E-DATA-DAMAGED", "recursion"),
        ("[[1,2],[3]]", "E-DATA-RAGGED", "'x'"),
        ("[[1,2,3]]\n[[1,2,3],[4,5,6]]", "E-DATA-RAGGED", "(1, 3), (2, 3)"),
        ('{"x": [[1,2,3]]}\n[[1,2,3]]', "E-DATA-RAGGED", "()"),
        ('{"z": [[1,2,3]]}', "E-DATA-NAMES", "x"),
        ('{"x": [[1,2,3]], "z": 1}', "E-DATA-NAMES", "x"),
        ('{"x": [[1,2,3]]}\n{}', "E-DATA-NAMES", "x"),
        ('{"x": {"y": 1}}', "E-DATA-NO-NUMBERS", "'x'"),
        ('[["a","b","c"]]', "E-DATA-NO-NUMBERS", "<U1"),
        ("[[null,1,2]]", "E-DATA-NO-NUMBERS", "'x'"),
        ("[[1,2,100000000000000000000000]]", "E-DATA-NO-NUMBERS", "'x'"),
        (b"\xff", "E-DATA-DAMAGED", "utf-8"),
    ],
)
def test_json_that_is_no_batch_is_refused(tmp_path, text, code, named):
    place = _written(tmp_path / "x.jsonl", text)
    with raises(InputError, code, "x.jsonl", named):
        read_arrays(place, _entry(X))


def test_json_lines_are_plain_for_one_output_and_objects_for_several():
    y, z = np.array([[0.1, 2], [3, 4]], np.float32), np.array([[5], [6]], np.int64)
    assert [json.loads(line) for line in json_lines({"y": y})] == y.tolist()
    objects = [json.loads(line) for line in json_lines({"y": y, "z": z})]
    assert objects == [{"y": y[0].tolist(), "z": [5]}, {"y": y[1].tolist(), "z": [6]}]


# Arrays


def _npz(place, value=ONES):
    with place.open("wb") as file:
        np.savez(file, x=value)
    return place.read_bytes()


def _npy(place, value):
    with place.open("wb") as file:
        np.save(file, value, allow_pickle=True)
    return place.read_bytes()


def _flipped(content):
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    return bytes(flipped)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("x.npz", lambda p: b"", "E-DATA-DAMAGED"),
        ("x.npz", lambda p: b"text", "E-DATA-DAMAGED"),
        ("x.npz", lambda p: _npy(p, np.ones(3)), "E-DATA-DAMAGED"),
        ("x.npz", lambda p: _npz(p)[:-20], "E-DATA-DAMAGED"),
        ("x.npz", lambda p: _flipped(_npz(p)), "E-DATA-DAMAGED"),
        ("x.npz", lambda p: _npz(p, np.array([{}])), "E-DATA-DAMAGED"),
        ("x.npy", lambda p: b"", "E-DATA-DAMAGED"),
        ("x.npy", lambda p: b"text", "E-DATA-DAMAGED"),
        ("x.npy", lambda p: _npy(p, np.ones(3))[:-5], "E-DATA-DAMAGED"),
        ("x.npy", lambda p: _npy(p, np.array([{}])), "E-DATA-DAMAGED"),
        ("x.npy", _npz, "E-DATA-ENDING"),
        ("x.txt", lambda p: b"1,2,3", "E-DATA-ENDING"),
        ("x", lambda p: b"1,2,3", "E-DATA-ENDING"),
    ],
)
def test_a_damaged_or_wrong_file_is_named(tmp_path, name, content, code):
    place = tmp_path / name
    place.write_bytes(content(place))
    with raises(InputError, code, name) as caught:
        read_arrays(place, _entry(X))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_file_or_a_folder_is_named(tmp_path, ending):
    (tmp_path / f"folder{ending}").mkdir()
    for name in ("missing", "folder"):
        with raises(InputError, "E-DATA-NOT-FOUND", f"{name}{ending}"):
            read_arrays(tmp_path / f"{name}{ending}", _entry(X))


def test_npz_by_name_needs_an_npz(tmp_path):
    with raises(InputError, "E-DATA-NOT-FOUND", "s.npz"):
        read_npz(tmp_path / "s.npz")


@pytest.mark.parametrize("ending", [".npy", ".csv", ".jsonl"])
def test_one_array_for_several_inputs_is_refused(tmp_path, ending):
    write_arrays(tmp_path / f"x{ending}", {"x": np.ones((1, 2, 3), "f")})
    with raises(InputError, "E-DATA-ONE-ARRAY", "x, ids", ".npz"):
        read_arrays(tmp_path / f"x{ending}", _entry(X, IDS))


# Where outputs can go


@pytest.mark.parametrize("name", ["y.txt", "y", "y.npz.gz"])
def test_an_unknown_ending_is_refused_before_anything_runs(tmp_path, name):
    with raises(InputError, "E-OPTION-ENDING", name, *ENDINGS):
        check_output(tmp_path / name, _giving(X))


@pytest.mark.parametrize("ending", [".npy", ".csv", ".CSV"])
def test_several_outputs_need_a_file_of_several(tmp_path, ending):
    check_output(tmp_path / f"y{ending}", _giving(X))
    with raises(InputError, "E-DATA-ONE-ARRAY", ending.lower(), "x, ids"):
        check_output(tmp_path / f"y{ending}", _giving(X, IDS))


def test_an_output_without_a_row_for_each_sequence_is_no_lines_of_json(tmp_path):
    entry = _giving(X, TensorSpec("steps_first", ("time", "batch", 3), "float32"))
    check_output(tmp_path / "y.npz", entry)
    for place in (None, tmp_path / "y.jsonl"):
        with raises(InputError, "E-DATA-NO-ROWS", "'steps_first'", "-o FILE.npz"):
            check_output(place, entry)


@pytest.mark.parametrize("shape", [(2, 4, 3), (3,), (1, 1, 1, 1)])
def test_what_is_no_table_does_not_go_to_csv(tmp_path, shape):
    with raises(InputError, "E-DATA-CSV-SHAPE", str(shape), ".npz"):
        write_arrays(tmp_path / "y.csv", {"y": np.ones(shape, "f")})
