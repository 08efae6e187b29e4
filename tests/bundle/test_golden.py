from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.bundle import GoldenCase, cases_of, open_bundle, read_cases, write_cases
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import record_of
from rnn_deploy.errors import BundleError
from tests.support.errors import raises

RNG = np.random.default_rng(3)


def _array(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


CASES = [
    GoldenCase(
        "n2t5",
        ("sequence", "stream"),
        (2, 3),
        {"x": _array(2, 5, 3), "a/h_in": _array(2, 4)},
        {"y": _array(2, 5, 2), "a/h_out": _array(2, 4)},
        {"y": _array(2, 5, 2, dtype=np.float64), "a/h_out": _array(2, 4, dtype=np.float64)},
    ),
    GoldenCase(
        "n1t1", ("sequence",), (), {"x": np.full((1, 1, 3), np.nan, "f")}, {"y": _array(1)}, {}
    ),
]


def _assert_same(a, b):
    assert (a.name, a.entries, a.chunks) == (b.name, b.entries, b.chunks)
    for part in ("feeds", "reference", "oracle"):
        left, right = getattr(a, part), getattr(b, part)
        assert list(left) == list(right)
        for name, value in left.items():
            assert value.dtype == right[name].dtype
            np.testing.assert_array_equal(value, right[name], strict=True)


def test_cases_come_back_as_they_were_written(tmp_path):
    write_cases(tmp_path / "golden.npz", CASES)
    again = list(read_cases(tmp_path / "golden.npz"))
    assert len(again) == len(CASES)
    for a, b in zip(again, CASES, strict=True):
        _assert_same(a, b)


def test_the_same_cases_give_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_cases(tmp_path / name, CASES)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_changed_value_changes_the_bytes(tmp_path):
    write_cases(tmp_path / "a.npz", CASES[:1])
    CASES[0].reference["y"][1, 2, 1] += 1
    write_cases(tmp_path / "b.npz", CASES[:1])
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "b.npz").read_bytes()


def test_the_truth_is_the_oracle_where_there_is_one():
    assert CASES[0].truth["y"].dtype == np.float64
    assert CASES[1].truth["y"].dtype == np.float32


def test_a_bundle_holds_the_states_of_reference_and_oracle(small_bundle):
    cases = list(read_cases(small_bundle / "golden.npz"))
    names = {"y", "first_h_out", "second_h_out"}
    assert all(set(c.reference) == set(c.oracle) == names for c in cases)
    assert any("second_h_in" in c.feeds and np.any(c.feeds["second_h_in"]) for c in cases)
    assert any(len(c.chunks) > 1 and sum(c.chunks) == c.feeds["x"].shape[1] for c in cases)


def _saved(place, **arrays):
    np.savez(place, **arrays)
    return place.read_bytes()


def _npy(place):
    with place.open("wb") as file:
        np.save(file, _array(3))
    return place.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        lambda place: b"",
        lambda place: b"no archive",
        _npy,
        lambda place: _saved(place, **{"a/feeds/x": _array(2)}),
        lambda place: _saved(
            place,
            **{
                "a/entries": np.array(["e"]),
                "a/chunks": np.array([1]),
                "a/feeds/x": np.array([{}]),
            },
        ),
    ],
    ids=["empty", "text", "npy", "without entries", "pickled"],
)
def test_damaged_golden_vectors_are_refused(tmp_path, content):
    place = tmp_path / "golden.npz"
    place.write_bytes(content(place))
    with raises(BundleError, "E-BUNDLE-DAMAGED", "golden.npz"):
        list(read_cases(place))


def test_a_cut_or_missing_file_is_refused(tmp_path):
    place = tmp_path / "golden.npz"
    write_cases(place, CASES)
    place.write_bytes(place.read_bytes()[:-30])
    for damaged in (place, tmp_path / "gone.npz"):
        with raises(BundleError, "E-BUNDLE-DAMAGED", damaged.name):
            list(read_cases(damaged))


@pytest.mark.parametrize("made_with", ["0123456789abcdef", None])
def test_golden_vectors_of_another_model_are_refused(small_bundle, made_with):
    bundle = open_bundle(small_bundle)
    assert len(list(cases_of(bundle))) > 3
    write_cases(small_bundle / "golden.npz", CASES, made_with)
    files = tuple(record_of(small_bundle, record.path) for record in bundle.manifest.files)
    text = json_from_manifest(replace(bundle.manifest, files=files))
    (small_bundle / "manifest.json").write_text(text, encoding="utf-8")
    names = ["'small.keras'", bundle.manifest.source.digest[:12], (made_with or "")[:12]]
    with raises(BundleError, "E-BUNDLE-OTHER-GOLDEN", *names):
        cases_of(open_bundle(small_bundle))


def _altered(bundle, change):
    """The bundle with other golden vectors, their hash as if they were its own."""
    place = bundle / "golden.npz"
    with np.load(place) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(place, **arrays)
    manifest = open_bundle(bundle).manifest
    files = tuple(record_of(bundle, record.path) for record in manifest.files)
    (bundle / "manifest.json").write_text(json_from_manifest(replace(manifest, files=files)))
    return open_bundle(bundle)


LACKS = "E-BUNDLE-GOLDEN-INCOMPLETE"


@pytest.mark.parametrize(
    ("change", "code", "name"),
    [
        (lambda a: a.pop("n1t1/feeds/x"), LACKS, "feeds/x"),
        (lambda a: a.pop("n1t1/reference/y"), LACKS, "reference/y"),
        (lambda a: a.pop("n1t1/oracle/first_h_out"), LACKS, "oracle/first_h_out"),
        (lambda a: a.update({"n1t1/entries": np.array(["z"])}), LACKS, "z"),
        (lambda a: a.update({"n1t1/chunks": np.array(3)}), "E-BUNDLE-DAMAGED", "0-d array"),
        (lambda a: a.update({"z/feeds/x": np.ones((1, 2, 3), "f")}), "E-BUNDLE-DAMAGED", "z/ent"),
    ],
)
def test_a_golden_vector_that_is_not_whole_is_refused(small_bundle, change, code, name):
    with raises(BundleError, code, "golden.npz", name):
        list(cases_of(_altered(small_bundle, change)))
