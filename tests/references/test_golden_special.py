"""Golden cases for one check alone, and inputs drawn the same on every machine."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.bundle import read_cases, write_cases
from rnn_deploy.bundle.seeded_input import SeededInput
from rnn_deploy.references.golden import References, chunks_match
from rnn_deploy.references.golden_special import special_cases
from rnn_deploy.spec import EntryPoint, TensorSpec
from tests.support.running_sums import GOOD, SEQUENCE, STREAM, Sums, cases_of

PLAIN = cases_of()
CHUNKED = replace(STREAM, chunked=chunks_match(GOOD.oracle, STREAM, PLAIN))


def special(sequence=SEQUENCE, stream=CHUNKED, long=50, references=GOOD, **options):
    found = special_cases(references, sequence, stream, PLAIN, 0, long=long, **options)
    return {case.name: case for case in found.cases}


def test_every_step_stands_beside_the_others_with_the_oracle_s_state_before_it():
    case = special()["n2t16-steps"]
    whole = next(case for case in PLAIN if case.name == "n2t16")
    assert (case.check, case.steps, case.entries) == ("teacher-forced", 16, ("stream",))
    x, before = case.feeds["x"], case.feeds["h_in"]
    assert (x.shape, before.shape, before.dtype) == ((32, 1, 2), (32, 2), np.float32)
    assert np.array_equal(x.reshape(16, 2, 2).swapaxes(0, 1), whole.feeds["x"])
    assert not before[:2].any()
    assert np.allclose(before.reshape(16, 2, 2)[1:], whole.oracle["y"].swapaxes(0, 1)[:-1])
    assert np.array_equal(case.oracle["h_out"], before + x[:, 0].astype(np.float64))


def test_without_chunks_or_an_oracle_there_are_no_single_steps():
    assert not any(case.steps for case in special(stream=STREAM).values())
    assert not any(c.steps for c in special(references=References(GOOD.reference, None)).values())


def test_extremes_are_where_they_are_meant_to_be():
    cases = special()
    assert {c.name for c in cases.values() if c.check == "extremes"} == {
        "zeros", "saturating", "denormal", "infinite", "nan", "large-states", "large-states-step"
    }  # fmt: skip
    tiny = np.finfo(np.float32).tiny
    assert not cases["zeros"].feeds["x"].any()
    assert np.abs(cases["saturating"].feeds["x"]).max() > 1000
    assert 0 < np.abs(cases["denormal"].feeds["x"]).max() < tiny
    assert np.isnan(cases["nan"].feeds["x"]).sum() == 2
    assert sorted(cases["infinite"].feeds["x"][~np.isfinite(cases["infinite"].feeds["x"])]) == [
        -np.inf, np.inf
    ]  # fmt: skip


def test_what_a_model_makes_of_nan_is_left_out_where_it_is_undefined():
    assert special().keys() - special(nan=False).keys() == {"nan"}
    (left_out,) = special_cases(GOOD, SEQUENCE, CHUNKED, PLAIN, 0, long=0, nan=False).left_out
    assert left_out.case == "nan"


def test_denormals_are_left_out_where_flushing_them_changes_the_result():
    def signs(x, results):
        return results | {"y": np.sign(x)}

    stepwise = References(Sums(np.float32, signs), Sums(np.float64, signs))
    found = special_cases(stepwise, SEQUENCE, None, [], 0, long=0)
    assert [left_out.case for left_out in found.left_out] == ["denormal"]
    assert "denormal" not in {case.name for case in found.cases}


def test_saturating_inputs_add_up_in_a_state_and_go_to_and_fro_in_another():
    case = special()["saturating"]
    x, h = case.feeds["x"], case.oracle["h_out"]
    assert (np.ptp(x[0], axis=0) > 0).all()
    assert (np.ptp(x[1:], axis=1) == 0).all()
    assert np.allclose(h[1:], 7 * x[1:, 0].astype(np.float64))


def test_states_are_large_before_several_steps_and_before_one():
    c_in = replace(CHUNKED.states[0], tensor=TensorSpec("c_in", ("batch", 2), "float32"), role="c")
    stream = replace(CHUNKED, states=(*CHUNKED.states, c_in))
    cases = special(stream=stream)
    for name, steps in (("large-states", 4), ("large-states-step", 1)):
        case = cases[name]
        assert (case.check, case.entries) == ("extremes", ("stream",))
        assert case.feeds["x"].shape == (3, steps, 2)
        h, c = (np.abs(case.feeds[name]).min(axis=1) >= 8 for name in ("h_in", "c_in"))
        assert list(zip(h, c, strict=True)) == [(True, True), (True, False), (False, True)]
        assert (case.feeds["h_in"] < 0).any()
        assert (case.feeds["h_in"] > 0).any()
        assert case.oracle["h_out"].any()


def test_a_fixed_batch_has_large_states_too():
    def fixed(entry):
        inputs = tuple(replace(t, shape=(1, *t.shape[1:])) for t in entry.inputs)
        states = tuple(
            replace(s, tensor=replace(s.tensor, shape=(1, *s.tensor.shape[1:])))
            for s in entry.states
        )
        return replace(entry, inputs=inputs, states=states)

    case = special(fixed(SEQUENCE), fixed(CHUNKED))["large-states"]
    assert case.feeds["h_in"].shape == (1, 2)
    assert np.abs(case.feeds["h_in"]).min() >= 8


def test_masks_come_in_seven_ways_where_an_input_can_be_masked():
    assert "masks" not in special()
    inputs = (replace(SEQUENCE.inputs[0], padding=0.0),)
    case = special(replace(SEQUENCE, inputs=inputs), replace(CHUNKED, inputs=inputs))["masks"]
    masked = ~case.feeds["x"].any(axis=-1)
    ways = ["".join("-x"[int(m)] for m in row) for row in masked]
    assert ways == [
        "------------", "-------xxxxx", "xxxxxx------", "-x--x--x--x-", "xxxxxxxxxxxx",
        "x-x-x-x-x-x-", "------x-----",
    ]  # fmt: skip


def test_token_ids_go_to_the_ends_of_the_vocabulary():
    ids = TensorSpec("x", ("batch", "time"), "int32", below=7)

    class Sums:
        def run(self, feeds):
            return {"y": feeds["x"].astype(np.float64), "h_out": np.zeros((len(feeds["x"]), 2))}

    sequence = EntryPoint("sequence", (ids,), ())
    found = special_cases(References(Sums(), Sums()), sequence, None, [], 0, long=0)
    cases = {case.name: case.feeds["x"] for case in found.cases}
    assert set(cases) == {"zeros", "largest"}
    assert not cases["zeros"].any()
    assert np.all(cases["largest"] == 6)


def test_a_long_case_is_kept_as_a_seed_and_a_few_steps(tmp_path):
    case = special(long=5000)["n1t5000"]
    assert case.feeds["x"].shape == (1, 5000, 2)
    assert case.probes[-1] == 4999
    assert case.oracle["y"].shape == (1, len(case.probes), 2)
    write_cases(tmp_path / "golden.npz", [case])
    assert (tmp_path / "golden.npz").stat().st_size < 5000
    assert list(read_cases(tmp_path / "golden.npz")) == []
    (again,) = read_cases(tmp_path / "golden.npz", special=True)
    assert np.array_equal(again.feeds["x"], case.feeds["x"])
    assert (again.probes, again.check) == (case.probes, "long")
    assert np.array_equal(again.oracle["y"], case.oracle["y"])


class Doubling(Sums):
    """A recurrence in which values double at every step, and overflow float32 after 128."""

    def run(self, feeds):
        x = feeds["x"].astype(self.dtype)
        y = x.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(1, x.shape[1]):
                y[:, step] += 2 * y[:, step - 1]
        return {"y": y, "h_out": y[:, -1]}


@pytest.mark.parametrize("oracle", [Doubling(np.float64), None])
def test_a_long_case_ends_before_the_values_of_the_model_run_away(oracle):
    found = special(long=2000, references=References(Doubling(np.float32), oracle))
    (case,) = [case for case in found.values() if case.check == "long"]
    assert 20 <= case.feeds["x"].shape[1] < 128
    assert all(np.isfinite(value).all() for value in case.truth.values())
    assert case.name == f"n1t{case.feeds['x'].shape[1]}"


def test_a_model_that_overflows_at_once_has_no_long_case():
    def overflowed(x, results):
        return {name: np.full_like(value, np.inf) for name, value in results.items()}

    infinite = Sums(np.float32, overflowed)
    found = special(references=References(infinite, None))
    assert not [case for case in found.values() if case.check == "long"]


def test_a_model_that_cannot_is_asked_for_nothing():
    assert not special(long=0).keys() & {"n1t0", "n1t50"}
    counts = EntryPoint("sequence", (TensorSpec("x", ("batch", "time", 2), "int32"),), ())
    assert special_cases(GOOD, counts, None, [], 0, long=10).cases == []


def test_drawn_values_are_these_on_every_machine():
    x = SeededInput(3, (2, 500, 4), "float32").values()
    digest = hashlib.sha256(x.astype("<f4").tobytes()).hexdigest()[:16]
    assert digest == "3323e4d8f4218c00"
    assert abs(x.mean()) < 0.05
    assert abs(x.std() - 1) < 0.05
    ids = SeededInput(3, (1, 500), "int32", below=7).values()
    assert (set(ids.flat), ids.dtype) == (set(range(7)), np.int32)
    assert SeededInput(3, (9,), "bool").values().dtype == np.bool_
    assert not np.array_equal(x, SeededInput(4, (2, 500, 4), "float32").values())
