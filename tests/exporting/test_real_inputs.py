"""Real inputs: checked, cut into batches with their results, and drawn from."""

import numpy as np
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.exporting.real_inputs import calibration_cases, checked, draws_from
from rnn_deploy.references.golden import References
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint, StateSpec, TensorSpec
from tests.support.errors import raises

RNG = np.random.default_rng(1)


class Summing:
    """A reference whose state is the sum over the steps."""

    def run(self, feeds):
        total = feeds["x"].sum(axis=1)
        return {"y": total, "h_out": total}


def entry_of(name=SEQUENCE, batch="batch", states=()):
    x = TensorSpec("x", (batch, "time", 5), "float32")
    return EntryPoint(name, (x,), (TensorSpec("y", (batch, 5), "float32"),), states)


def cases_of(rows, batch="batch"):
    references = References(Summing(), None)
    return calibration_cases({"x": RNG.random((rows, 11, 5), np.float32)}, references,
                             [entry_of(batch=batch)])  # fmt: skip


@pytest.mark.parametrize(
    ("data", "code", "name"),
    [
        ({"z": np.zeros((2, 3, 5), "f")}, "E-INPUT-NAMES", "['z']"),
        ({"x": np.zeros((2, 3, 4), "f")}, "E-INPUT-SHAPE", "float32(2, 3, 4)"),
        ({"x": np.zeros((2, 3, 5))}, "E-INPUT-SHAPE", "float64(2, 3, 5)"),
        ({"x": np.zeros((2, 0, 5), "f")}, "E-INPUT-SHAPE", "float32(2, 0, 5)"),
    ],
)
def test_arrays_that_do_not_fit_the_inputs_are_refused(data, code, name):
    with raises(InputError, code, "--samples", name):
        checked("--samples", data, entry_of())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    references = References(Summing(), None)
    data = {"x": np.full((2, 3, 5), bad, "f")}
    with raises(InputError, "E-INPUT-NOT-FINITE", "--calibration", "'x'"):
        calibration_cases(data, references, [entry_of()])


def test_too_few_sequences_and_unequal_numbers_are_refused():
    with raises(InputError, "E-INPUT-ROWS", "3"):
        cases_of(3, batch=4)
    data = {"x": np.zeros((2, 3, 5), "f"), "b": np.zeros((3, 3, 5), "f")}
    with raises(InputError, "E-INPUT-ROWS", "'b': 3"):
        calibration_cases(data, References(Summing(), None), [entry_of()])


def test_batches_hold_every_sequence_and_only_whole_ones_where_the_batch_is_fixed():
    assert [len(case.feeds["x"]) for case in cases_of(130)] == [64, 64, 2]
    assert [len(case.feeds["x"]) for case in cases_of(11, batch=4)] == [4, 4]
    (case,) = cases_of(3)
    np.testing.assert_array_equal(case.reference["y"], case.feeds["x"].sum(axis=1))


def test_draws_are_rows_and_final_states_of_the_data():
    cases = cases_of(70)
    state = StateSpec(TensorSpec("h_in", ("batch", 5), "float32"), "h_out", "rnn", "h")
    stream = entry_of(STREAM, states=(state,))
    draw = draws_from(cases, stream)
    rows = {row.tobytes() for case in cases for row in case.feeds["x"].reshape(-1, 5)}
    ends = {row.tobytes() for case in cases for row in case.reference["h_out"]}
    rng = np.random.default_rng(0)
    for time in (1, 11, 30):
        sizes = {"batch": 3, "time": time}
        found = draw([*stream.inputs, state.tensor], sizes, rng)
        assert found["x"].shape == (3, time, 5)
        assert {row.tobytes() for row in found["x"].reshape(-1, 5)} <= rows
        assert {row.tobytes() for row in found["h_in"]} <= ends
