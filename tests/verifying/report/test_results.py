"""Stored results are judged again without running anything, and only with their own bundle."""

import json
import zipfile
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from rnn_deploy.verifying.report.results import (
    INDEX,
    SCHEMA,
    ResultsWriter,
    judge_again,
    read_results,
)
from tests.support.errors import raises
from tests.support.observed import (
    ABORTED,
    BUDGET,
    WRONG_STEP,
    WRONG_UNIT,
    observations,
    report_of,
)


@pytest.fixture
def bundle(small_bundle):
    return open_bundle(small_bundle)


@pytest.fixture
def saved(bundle, tmp_path):
    """A stored report of the bundle, its observations and its place."""
    place = tmp_path / "results.npz"
    seen = list(observations())
    report = report_of(seen, [ABORTED], digest=bundle.digest)
    writer = ResultsWriter(place)
    for observation in seen:
        writer.record(observation)
    writer.finish(report)
    return place, report, seen


def test_what_was_stored_comes_back_the_same(saved, bundle):
    place, report, seen = saved
    results = read_results(place, bundle)
    assert results.report == report
    for ours, theirs in zip(results.observations(), seen, strict=True):
        assert (ours.comparison, ours.time_axis, ours.steps) == (
            theirs.comparison, theirs.time_axis, theirs.steps
        )  # fmt: skip
        for part in ("tensors.actual", "tensors.truth", "reference"):
            read, wrote = map(attrgetter(part), (ours, theirs))
            np.testing.assert_array_equal(read, wrote, strict=True)
    assert judge_again(results, UserTolerance()) == report


def test_another_tolerance_gives_another_verdict_from_the_same_tensors(saved, bundle):
    results = read_results(saved[0], bundle)
    assert [c.passed for c in results.report.comparisons] == [True, True, False, True]
    looser = judge_again(results, UserTolerance({"*": 1e-2}))
    assert all(c.passed and c.budget == 1e-2 for c in looser.comparisons)
    assert not looser.passed  # a check ended with an error, whatever the tolerance
    stricter = judge_again(results, UserTolerance({"*": 1e-9}))
    assert not any(c.passed for c in stricter.comparisons)
    relative = judge_again(results, UserTolerance(rtol={"y": 1e-2}))
    for c in relative.comparisons:
        assert c.budget == (BUDGET if c.name == "h_out" else pytest.approx(1e-2 * abs(c.expected)))
    assert "--rtol y=0.01" in relative.tolerance
    assert results.report.tolerance.startswith("derived")
    with raises(InputError, "E-VERIFY-UNKNOWN-TENSOR", "z", "y, h_out"):
        judge_again(results, UserTolerance({"z": 1.0}))


def test_what_a_stricter_tolerance_fails_is_localised_from_the_stored_tensors(saved, bundle):
    place, *_ = saved
    results = read_results(place, bundle)
    stricter = judge_again(results, UserTolerance({"*": 1e-5, "h_out": 1e-9}))
    found = {(f.runtime, f.check): f for f in stricter.findings}
    assert set(found) == {("ort-cpu", "states"), ("litert", "states")}
    y = found["litert", "states"]
    assert (y.tensor, y.step, y.row, y.elements[0].index) == ("y", WRONG_STEP, 1, (WRONG_UNIT,))
    assert found["ort-cpu", "states"].tensor == "h_out"
    assert "rnn-deploy verify some/<model> & co with the same tolerance" in stricter.notes[-1]
    assert judge_again(results, UserTolerance()).findings == ()


def test_states_come_first_in_the_order_of_the_layers(bundle, tmp_path):
    seen = [
        replace(o, comparison=replace(o.comparison, name=name))
        for o, name in zip(observations(), ("y", "second_h_out", "y", "first_h_out"), strict=True)
    ]
    seen = [replace(o, comparison=replace(o.comparison, runtime="litert")) for o in seen]
    writer = ResultsWriter(tmp_path / "r.npz")
    for observation in seen:
        writer.record(observation)
    writer.finish(report_of(seen, digest=bundle.digest))
    strict = judge_again(read_results(tmp_path / "r.npz", bundle), UserTolerance({"*": 1e-9}))
    assert [(f.layer, f.role) for f in strict.findings] == [("first", "h")]


def test_nan_and_infinity_survive(bundle, tmp_path):
    seen = list(observations())
    spoiled = replace(seen[0].comparison, max_abs=np.inf, found=np.nan, worst_index=())
    report = report_of([replace(seen[0], comparison=spoiled)], digest=bundle.digest)
    writer = ResultsWriter(tmp_path / "r.npz")
    writer.finish(report)  # a comparison whose tensors were not recorded keeps its verdict
    (again,) = judge_again(
        read_results(tmp_path / "r.npz", bundle), UserTolerance({"*": 1.0})
    ).comparisons
    assert (again.max_abs, again.worst_index) == (np.inf, ())
    assert np.isnan(again.found)


def test_equal_tensors_are_stored_once_and_without_pickles(saved):
    with np.load(saved[0], allow_pickle=False) as file:
        # y and h: the truth and TensorFlow's, once for both runtimes; y differs, h does not.
        assert len(file.files) - 1 == 2 + 2 + 3


def test_results_of_another_bundle_are_refused(saved, token_bundle):
    with raises(InputError, "E-VERIFY-RESULTS-OTHER-BUNDLE", "some/<model> & co", "tokens"):
        read_results(saved[0], open_bundle(token_bundle))


def rewritten(place, change):
    """Write the file again with its index changed."""
    with np.load(place) as file:
        arrays = {name: file[name] for name in file.files}
    index = json.loads(arrays[INDEX].tobytes())
    change(index)
    np.savez(place, **arrays | {INDEX: np.frombuffer(json.dumps(index).encode(), np.uint8)})


def without_arrays(place):
    with np.load(place) as file:
        np.savez(place, **{INDEX: file[INDEX]})


DAMAGE = {
    "empty": lambda place: place.write_bytes(b""),
    "cut": lambda place: place.write_bytes(place.read_bytes()[:-100]),
    "flipped": lambda place: place.write_bytes(
        place.read_bytes().replace(b"n2t6", b"\xff\xfe\xfdx", 1)
    ),
    "another npz": lambda place: np.savez(place, x=np.zeros(3)),
    "no arrays": without_arrays,
    "a comparison less": lambda place: rewritten(place, lambda i: i["stored"].pop()),
    "a word for a number": lambda place: rewritten(
        place, lambda i: i["report"]["comparisons"][0].update(max_abs="small")
    ),
    "an unknown field": lambda place: rewritten(place, lambda i: i["report"].update(colour="red")),
    "a field less": lambda place: rewritten(place, lambda i: i["report"].pop("digest")),
    "an unknown kind": lambda place: rewritten(
        place, lambda i: i["report"]["comparisons"][0].update(kind="smell")
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused(saved, bundle, damage):
    place = saved[0]
    DAMAGE[damage](place)
    with raises(InputError, "E-VERIFY-RESULTS-DAMAGED", "results.npz"):
        judge_again(read_results(place, bundle), UserTolerance())


def test_a_pickle_is_not_opened(saved, bundle):
    place = saved[0]
    with zipfile.ZipFile(place, "w") as file:
        file.writestr(f"{INDEX}.npy", b"")
    np.savez(place, **{INDEX: np.array([{}])})
    with raises(InputError, "E-VERIFY-RESULTS-DAMAGED"):
        read_results(place, bundle)


def test_another_schema_says_which(saved, bundle):
    rewritten(saved[0], lambda index: index.update(schema=99))
    with raises(InputError, "E-VERIFY-RESULTS-SCHEMA", "99", str(SCHEMA)):
        read_results(saved[0], bundle)
