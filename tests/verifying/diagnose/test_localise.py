"""The first place where a runtime parts from the truth, and the smallest input that shows it."""

from dataclasses import replace

import numpy as np

from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.diagnose.finding import ElementPair, Finding


def finding(gated, bundle, check, **options):
    report = verify(bundle, runtimes=[gated.runtime()], checks=[check], **options)
    (found,) = report.findings
    return found


def from_step(step):
    """Unit 1 of the LSTM's cell state is off in row 1, where a call goes beyond a step."""

    def outputs(feeds, results, calls):
        c = results["lstm_c_out"].copy()
        if feeds["x"].shape[1] > step and len(c) > 1:
            c[1, 1] += 1e-3
        return results | {"lstm_c_out": c}

    return outputs


def test_time_is_cut_to_the_step_where_it_begins(gated, gated_bundle):
    spoiled = replace(gated, outputs=from_step(5))
    found = finding(spoiled, gated_bundle, "states")
    assert (found.case, found.layer, found.role, found.step, found.row) == (
        "n2t16", "lstm", "c", 5, 1,
    )  # fmt: skip
    assert (found.batch, found.steps) == (2, 6)
    assert found.elements[0].index == (1,)
    assert abs(found.elements[0].found - found.elements[0].expected - 1e-3) < 1e-6


def test_a_long_case_that_only_the_sequence_gets_wrong_is_no_fault_of_the_stream(
    gated, gated_bundle
):
    """Of a long case the truth is kept at some steps; the stream is looked at beside, at these."""

    def run(entry, feeds):
        results = gated(entry, feeds)
        if entry.name == "sequence" and feeds["x"].shape[1] > 100:
            results["y"][:, 20:] += 1e-2
        return results

    report = verify(gated_bundle, runtimes=[FakeRuntime(run)], checks=["long"])
    (finding,) = report.findings
    assert (finding.tensor, finding.row) == ("y", 0)
    assert finding.step in (20, 31)
    assert "the stream entry point is right there" in finding.detail


def test_what_depends_on_the_state_before_alone_is_cut_to_one_step(gated, gated_bundle):
    kernel = gated.lstm.recurrent_kernel.copy()
    kernel[0, 0] += 0.25
    found = finding(gated.with_layer("lstm", recurrent_kernel=kernel), gated_bundle, "states")
    assert (found.layer, found.batch, found.steps) == ("lstm", 1, 1)
    assert found.start == found.step > 0
    assert "from the reference's state before step" in found.lines[2]


def test_where_only_an_output_is_wrong_the_states_are_said_to_be_right(gated, gated_bundle):
    def outputs(feeds, results, calls):
        return results | {"y": results["y"] + 1e-3}

    found = finding(replace(gated, outputs=outputs), gated_bundle, "states")
    assert (found.tensor, found.layer, found.states_right) == ("y", "", True)
    assert "'y' (every state is right)" in found.lines[0]


def test_an_oracle_tells_of_cases_whose_steps_are_not_kept(gated, gated_bundle, gated_at_hand):
    def outputs(feeds, results, calls):
        h = results["gru_h_out"].copy()
        if "gru_h_in" in feeds and np.any(feeds["gru_h_in"]) and feeds["x"].shape[1] > 3:
            h[0] += 1e-3
        return results | {"gru_h_out": h}

    spoiled = replace(gated, outputs=outputs)
    found = finding(spoiled, gated_bundle, "states", original=gated_at_hand.original)
    assert (found.case, found.layer, found.step, found.steps) == ("n3t6state", "gru", 3, 4)


def test_a_step_of_a_long_sequence_is_named_by_its_place(gated, gated_bundle):
    def outputs(feeds, results, calls):
        y = results["y"].copy()
        y[:, 60:] += 1e-3
        return results | {"y": y}

    found = finding(replace(gated, outputs=outputs), gated_bundle, "long")
    assert found.step == 99  # of the steps that are kept, the first after 60


def test_where_a_long_sequence_begins_to_fail_is_found_with_the_model_at_hand(
    gated, gated_bundle, gated_at_hand
):
    def outputs(feeds, results, calls):
        y = results["y"].copy()
        y[:, 60:] += 1e-3
        return results | {"y": y}

    spoiled = replace(gated, outputs=outputs)
    without = finding(spoiled, gated_bundle, "long")
    assert (without.batch, without.steps) == (1, 100)  # 99 is the first step known after 60
    within = finding(spoiled, gated_bundle, "long", original=gated_at_hand.original)
    assert (within.batch, within.steps, within.step) == (1, 61, 60)


def test_a_second_call_that_differs_is_cut_to_the_fewest_steps(gated, gated_bundle):
    def outputs(feeds, results, calls):
        left = calls and feeds["x"].shape[1] > 3
        return results | {"gru_h_out": results["gru_h_out"] + (0.1 if left else 0.0)}

    def alternating(feeds, results, calls):
        return outputs(feeds, results, calls) if len(calls) % 3 == 2 else results

    found = finding(replace(gated, outputs=alternating, calls=[]), gated_bundle, "reset")
    assert (found.layer, found.batch, found.steps) == ("gru", 1, 4)


def test_rows_that_see_each_other_are_cut_to_two(gated, gated_bundle):
    def outputs(feeds, results, calls):
        h = results["lstm_h_out"].copy()
        if len(h) > 1 and feeds["x"].shape[1] > 1:
            h[-1] += 1e-3 * h[0]
        return results | {"lstm_h_out": h}

    found = finding(replace(gated, outputs=outputs), gated_bundle, "batch")
    assert (found.layer, found.role, found.batch, found.steps) == ("lstm", "h", 2, 2)
    assert "smallest input that still fails: 2 rows of 2 steps" in found.lines


def test_a_state_that_is_not_handed_over_is_cut_to_the_two_steps_around_it(gated, gated_bundle):
    def outputs(feeds, results, calls):
        return results | {"lstm_c_out": results["lstm_c_out"] + 1e-3}

    wrong = replace(gated, outputs=outputs).runtime("wrong")
    report = verify(gated_bundle, runtimes=[gated.runtime("right"), wrong], checks=["hand-over"])
    (found,) = [f for f in report.findings if f.runtime == "wrong"]
    assert (found.batch, found.steps) == (1, 2)
    assert found.detail == "resumed on right"


def test_where_a_bound_is_left_is_told_with_the_steps_up_to_there(gated, gated_bundle):
    kernel = gated.gru.kernel + np.float32(1e-3)
    found = finding(gated.with_layer("gru", kernel=kernel), gated_bundle, "running-bound")
    assert (found.layer, found.batch, found.steps) == ("gru", 1, found.step + 1)


def test_a_finding_says_everything_in_lines():
    found = Finding(
        "ort-cpu", "states", "n2t16", "h_out", "rnn", "h", 3, 1,
        (ElementPair((2,), 0.5, 0.25), ElementPair((0,), 1.0, 1.0)), 1, 1, start=3,
        fault="as if: x",
    )  # fmt: skip
    assert found.lines == (
        "ort-cpu, states, case n2t16: the first difference is in state h of layer 'rnn' at step 3,"
        " row 1, unit 2",
        "found 0.5 instead of 0.25; 1 instead of 1",
        "smallest input that still fails: 1 row of 1 step, from the reference's state before step"
        " 3",
        "as if: x",
    )
