"""Golden vectors, and what the oracle says about chunks."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError, RnnDeployError
from rnn_deploy.exporting.cases import reference_cases, references_of
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.exporting.reading import ModelReader
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.references.golden import (
    WIDE,
    References,
    check_untouched,
    chunks_match,
    make_cases,
    run_in_chunks,
)
from rnn_deploy.references.samples import ragged
from rnn_deploy.spec import EntryPoint, TensorSpec
from tests.support.errors import raises
from tests.support.models import randomised
from tests.support.running_sums import GOOD, SEQUENCE, STREAM, Sums, X, Y, cases_of


def test_cases_cover_one_and_many_sequences_steps_and_states():
    cases = cases_of()
    shapes = {case.feeds["x"].shape[:2] for case in cases}
    assert {(1, 1), (1, 7)} <= shapes
    assert any(batch > time > 1 for batch, time in shapes)
    assert any(time > batch > 1 for batch, time in shapes)
    assert any("h_in" in case.feeds for case in cases)
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert set(case.reference) == set(case.oracle) == {"y", "h_out"}
        assert case.reference["y"].dtype == np.float32
        assert case.oracle["y"].dtype == np.float64


def test_a_case_with_states_is_for_the_stream_only():
    for case in cases_of():
        expected = ("stream",) if "h_in" in case.feeds else ("sequence", "stream")
        assert case.entries == expected


def test_a_seed_makes_the_same_cases_and_another_seed_others():
    first, same, other = cases_of(3), cases_of(3), cases_of(4)
    for a, b, c in zip(first, same, other, strict=True):
        assert a.name == b.name == c.name
        assert a.chunks == b.chunks
        assert all(np.array_equal(a.feeds[name], b.feeds[name]) for name in a.feeds)
        assert not np.array_equal(a.feeds["x"], c.feeds["x"])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_chunks_add_up_to_the_whole(seed):
    for case in cases_of(seed):
        assert sum(case.chunks) == case.feeds["x"].shape[1]
        assert all(length >= 1 for length in case.chunks)
        assert len(case.chunks) >= (2 if case.feeds["x"].shape[1] > 1 else 1)


def test_without_a_stream_there_are_no_chunks_and_no_states():
    cases = cases_of(stream=None)
    assert {case.entries for case in cases} == {("sequence",)}
    assert {case.chunks for case in cases} == {()}
    assert {tuple(case.feeds) for case in cases} == {("x",)}


def test_a_fixed_length_gets_sequence_cases_of_its_own():
    fixed = replace(SEQUENCE, inputs=(replace(X, shape=("batch", 4, 2)),))
    for_sequence = [case for case in cases_of(sequence=fixed) if "sequence" in case.entries]
    assert {case.feeds["x"].shape[1] for case in for_sequence} == {4}
    assert {case.feeds["x"].shape[0] for case in for_sequence} >= {1, 7}


@pytest.mark.parametrize("length", ["time", 4])
def test_a_wide_batch_is_masked_in_every_row_and_in_none_wholly(length):
    inputs = (replace(X, shape=("batch", length, 2), padding=0.0),)
    for_both = {"sequence": replace(SEQUENCE, inputs=inputs), "stream": None}
    wide = [case for case in cases_of(**for_both) if len(case.feeds["x"]) >= WIDE]
    assert wide
    for case in wide:
        masked = ~case.feeds["x"].any(axis=-1)
        assert masked.any(axis=1).all()
        assert not masked.all(axis=1).any()
        assert len({row.tobytes() for row in masked}) == 6


def test_two_inputs_that_say_masks_say_different_ones():
    valid = TensorSpec("valid", ("batch", "time"), "bool")
    tensors = (replace(X, padding=9.0), valid)
    feeds = ragged(tensors, {"x": np.ones((6, 3, 2)), "valid": np.ones((6, 3), bool)})
    of_x, of_valid = (feeds["x"] == 9).all(axis=-1), ~feeds["valid"]
    assert of_x.any(axis=1).all()
    assert of_valid.any(axis=1).all()
    assert (of_x != of_valid).any(axis=1).all()


def test_samples_come_first_and_are_kept_exactly():
    samples = {"x": np.full((2, 3, 2), 7, np.float32)}
    cases = cases_of(samples=samples)
    assert cases[0].name == "samples"
    assert np.array_equal(cases[0].feeds["x"], samples["x"])
    assert len(cases) > 3


def test_samples_of_unknown_integers_are_the_only_case():
    counts = EntryPoint("sequence", (TensorSpec("x", ("batch", "time", 2), "int32"),), (Y,))
    samples = {"x": np.ones((1, 2, 2), np.int32)}
    cases = make_cases(GOOD, counts, None, samples, 0)
    assert [case.name for case in cases] == ["samples"]
    with raises(InputError, "E-EXPORT-NEEDS-SAMPLES", "'x'", "int32"):
        make_cases(GOOD, counts, None, None, 0)


def test_chunks_of_a_recurrence_match():
    support = chunks_match(GOOD.oracle, STREAM, cases_of())
    assert support.ok
    assert "measured in float64" in support.reason


def minus_the_mean(x, results):
    return results | {"y": results["y"] - x.mean(axis=1, keepdims=True)}


def stale_state(x, results):
    return results | {"h_out": results["y"][:, 0]}


def slightly_off(x, results):
    return results | {"y": results["y"] + 1e-6 * x.shape[1]}


@pytest.mark.parametrize("fault", [minus_the_mean, stale_state, slightly_off])
def test_chunks_of_what_looks_along_time_do_not_match(fault):
    oracle = Sums(np.float64, fault)
    cases = make_cases(References(Sums(np.float32), oracle), SEQUENCE, STREAM, None, 0)
    support = chunks_match(oracle, STREAM, cases)
    assert not support.ok
    assert "differs from that of its chunks" in support.reason


def test_chunks_that_were_never_tried_do_not_match():
    support = chunks_match(GOOD.oracle, STREAM, [c for c in cases_of() if len(c.chunks) < 2])
    assert not support.ok
    assert "no golden vector" in support.reason


def test_chunks_start_from_the_states_given_and_end_with_the_last_ones():
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((2, 6, 2)), "h_in": rng.standard_normal((2, 2))}
    whole = GOOD.oracle.run(feeds)
    for lengths in ([6], [1, 5], [2, 2, 2], [1] * 6):
        pieces = run_in_chunks(GOOD.oracle, STREAM, feeds, lengths)
        assert set(pieces) == set(whole)
        for name, value in whole.items():
            np.testing.assert_allclose(pieces[name], value, rtol=0, atol=1e-12)


def case_with(value):
    x = np.zeros((1, 1, 2), np.float32)
    return GoldenCase("c", ("sequence",), (), {"x": x}, {"y": np.asarray(value, np.float32)}, {})


@pytest.mark.parametrize("said", [[[1.0, 2.1]], [[1.0, np.nan]], [[np.inf, 2.0]], [[1.0]], [1, 2]])
def test_a_reference_that_says_something_else_than_the_model_is_noticed(said):
    case = case_with([[1.0, 2.0]])
    with raises(RnnDeployError, "E-EXPORT-CHANGED-MODEL", "'y'"):
        check_untouched(None, None, case, SEQUENCE, lambda model, x: [np.array(said)])


@pytest.mark.parametrize("said", [[[1.0, 2.0]], [[np.nan, np.inf]]])
def test_a_reference_that_says_what_the_model_says_is_fine(said):
    check_untouched(None, None, case_with(said), SEQUENCE, lambda model, x: [np.array(said)])


def test_a_long_reach_is_found_and_a_sensitive_recurrence_is_not_taken_for_one():
    def chunked(*stack, scale=0.3):
        x = y = keras.Input((None, 3), name="x")
        for layer in stack:
            y = layer(y)
        model = randomised(keras.Model(x, y), scale=scale)
        plan = plan_of(model, ExportOptions())
        references = references_of(model, plan)
        cases = reference_cases(references, plan, ExportOptions())
        return chunks_match(references.oracle, plan.stream.entry, cases)

    rnn = keras.layers.SimpleRNN(16, return_sequences=True)
    reach = keras.layers.Conv1D(3, 2, dilation_rate=20, padding="causal")
    assert "300 steps" in chunked(reach, rnn).reason
    chaotic = (keras.layers.Dense(40), keras.layers.SimpleRNN(64, return_sequences=True))
    assert chunked(*chaotic, scale=0.6).ok


def test_lengths_of_their_own_are_said_to_be_the_reason():
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 2), name="b")
    model = keras.Model([a, b], [keras.layers.GRU(2)(a), keras.layers.GRU(3)(b)])
    stream = ModelReader(model).read(ExportOptions(long=0), lambda _: None).plan.stream
    assert not stream.entry.chunked.ok
    assert "(a_time, b_time)" in stream.entry.chunked.reason
