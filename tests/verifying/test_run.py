"""Verification bites: every planted fault is found, and the tensor it is in is named.

The fake runtime answers with the small model in NumPy float32, by the same weights, and with one
fault at a time.
"""

from dataclasses import replace

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import open_bundle, read_cases
from rnn_deploy.errors import BundleError, InputError, RuntimeUnavailableError
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.checks import BASIC
from rnn_deploy.verifying.report.report import NOTHING
from tests.support.errors import raises


@pytest.fixture(scope="module")
def weights(small_keras):
    """The small model's weights: kernel, recurrent kernel, bias of each RNN; then of the Dense."""
    return keras.saving.load_model(small_keras, compile=False).get_weights()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrence(f, x, h, kernel, recurrent, bias):
    outputs = []
    for t in range(x.shape[1]):
        h = f(x[:, t] @ kernel + bias + h @ recurrent)
        outputs.append(h)
    return np.stack(outputs, axis=1), h


def answers(weights, *, before=lambda feeds: feeds, after=lambda feeds, results: results):
    """The small model in NumPy float32 as a fake runtime's answer, spoiled before or after."""
    w = weights

    def answer(entry, feeds):
        feeds = before(dict(feeds))
        batch = feeds["x"].shape[0]
        h1 = feeds.get("first_h_in", np.zeros((batch, 5), np.float32))
        h2 = feeds.get("second_h_in", np.zeros((batch, 4), np.float32))
        first, h1 = recurrence(np.tanh, feeds["x"], h1, *w[0:3])
        second, h2 = recurrence(sigmoid, first, h2, *w[3:6])
        results = {"y": second @ w[6] + w[7], "first_h_out": h1, "second_h_out": h2}
        results = after(feeds, results)
        return {tensor.name: results[tensor.name] for tensor in entry.all_outputs}

    return answer


def report_on(bundle, answer, **options):
    options = {"checks": BASIC} | options
    return verify(open_bundle(bundle), runtimes=[FakeRuntime(answer)], **options)


def failed(report):
    return {(c.check, c.name) for c in report.comparisons if not c.passed}


def test_a_faithful_runtime_passes_on_every_check(small_bundle, weights):
    report = report_on(small_bundle, answers(weights))
    assert report.passed, report.verdict
    assert {(c.check, c.name, c.kind) for c in report.comparisons} == {
        ("sequence", "y", "output"),
        *((check, "y", "output") for check in ("states", "chunked")),
        *((check, f"{layer}_h_out", "state")
          for check in ("states", "chunked") for layer in ("first", "second")),
    }  # fmt: skip
    assert all(c.reference_error is not None and c.budget < 1e-4 for c in report.comparisons)
    assert report.digest == open_bundle(small_bundle).digest


def swapped_units(weights):
    order = [1, 0, 2, 3]
    kernel, recurrent, bias = weights[3:6]
    spoiled = [kernel[:, order], recurrent[:, order][order], bias[order]]
    return answers([*weights[:3], *spoiled, *weights[6:]])


def transposed_recurrence(weights):
    return answers([*weights[:4], weights[4].T, *weights[5:]])


def swapped_states(weights):
    def after(feeds, results):
        h = results["second_h_out"]
        return results | {"second_h_out": h[:, [1, 0, 2, 3]]}

    return answers(weights, after=after)


def stale_state(weights):
    def after(feeds, results):
        return results | {"first_h_out": feeds.get("first_h_in", 0 * results["first_h_out"])}

    return answers(weights, after=after)


def state_ignored(weights):
    return answers(weights, before=lambda feeds: {"x": feeds["x"]})


def one_nan(weights):
    def after(feeds, results):
        results["y"][-1, -1, 0] = np.nan
        return results

    return answers(weights, after=after)


def off_by_one_chunk(weights):
    def before(feeds):
        x = feeds["x"]
        return feeds | {"x": np.concatenate([x[:, :1], x[:, :-1]], axis=1)}

    return answers(weights, before=before)


def relative_noise(weights):
    def after(feeds, results):
        return {name: value * np.float32(1.001) for name, value in results.items()}

    return answers(weights, after=after)


def bfloat16_weights(weights):
    cut = [(w.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32) for w in weights]
    return answers(cut)


def half_precision_output(weights):
    def after(feeds, results):
        return results | {"y": results["y"].astype(np.float16).astype(np.float32)}

    return answers(weights, after=after)


def last_step_repeated(weights):
    def after(feeds, results):
        y = results["y"]
        return results | {"y": np.repeat(y[:, -1:], y.shape[1], axis=1)}

    return answers(weights, after=after)


def batch_axis_lost(weights):
    def after(feeds, results):
        return results | {"second_h_out": results["second_h_out"][0]}

    return answers(weights, after=after)


def reversed_batch(weights):
    def after(feeds, results):
        return {name: value[::-1] for name, value in results.items()}

    return answers(weights, after=after)


Y = {("sequence", "y"), ("states", "y"), ("chunked", "y")}
FIRST = {("states", "first_h_out"), ("chunked", "first_h_out")}
SECOND = {("states", "second_h_out"), ("chunked", "second_h_out")}
# The planted fault, and exactly the checks and tensors it must show in.
FAULTS = [
    (swapped_units, Y | SECOND),
    (transposed_recurrence, Y | SECOND),
    (swapped_states, SECOND | {("chunked", "y")}),
    (stale_state, FIRST | {("chunked", "y"), ("chunked", "second_h_out")}),
    (state_ignored, (Y | FIRST | SECOND) - {("sequence", "y")}),
    (one_nan, Y),
    (off_by_one_chunk, Y | FIRST | SECOND),
    (relative_noise, Y | FIRST | SECOND),
    (bfloat16_weights, Y | FIRST | SECOND),
    (half_precision_output, Y),
    (last_step_repeated, Y),
    (reversed_batch, Y | FIRST | SECOND),
]


@pytest.mark.parametrize(
    ("plant", "where"), FAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_fault_fails_and_its_tensor_is_named(plant, where, small_bundle, weights):
    report = report_on(small_bundle, plant(weights))
    assert not report.passed
    assert report.verdict.startswith("FAILED")
    assert failed(report) == where
    assert not report.failed_checks


def test_a_lost_axis_is_an_infinite_error_or_a_failed_check(small_bundle, weights):
    report = report_on(small_bundle, batch_axis_lost(weights))
    assert not report.passed
    assert ("states", "second_h_out") in failed(report)
    assert {failed.check for failed in report.failed_checks} <= {"chunked"}


def test_a_runtime_that_refuses_is_a_fault_and_the_rest_is_still_compared(small_bundle, weights):
    good = answers(weights)

    def answer(entry, feeds):
        if feeds["x"].shape[0] == 17:
            raise InputError("E-TEST-SEVENTEEN", "seventeen rows")
        return good(entry, feeds)

    report = report_on(small_bundle, answer)
    assert not report.passed
    assert all("E-TEST-SEVENTEEN" in failed.message for failed in report.failed_checks)
    assert {failed.case for failed in report.failed_checks} == {"n17t3"}
    assert report.comparisons
    assert all(comparison.passed for comparison in report.comparisons)


@pytest.mark.parametrize("how", ["no runtimes", "no cases", "no checks"])
def test_nothing_compared_is_no_pass(how, small_bundle, weights):
    options = {"runtimes": [FakeRuntime(answers(weights))]}
    if how == "no runtimes":
        options["runtimes"] = []
    report = verify(
        open_bundle(small_bundle),
        **options,
        **({"cases": []} if how == "no cases" else {}),
        **({"checks": ()} if how == "no checks" else {}),
    )
    assert not report.passed
    assert NOTHING in report.verdict


@pytest.mark.parametrize("check", ["sequence", "states", "chunked"])
def test_a_single_check_runs_alone(check, small_bundle, weights):
    report = report_on(small_bundle, answers(weights), checks=[check])
    assert report.passed
    assert {comparison.check for comparison in report.comparisons} == {check}


def test_an_unknown_check_is_a_mistake_of_the_user(small_bundle, weights):
    with raises(InputError, "E-VERIFY-UNKNOWN-CHECK", "spelling", "sequence, states, chunked"):
        report_on(small_bundle, answers(weights), checks=["states", "spelling"])


def test_real_runtimes_pass_and_those_not_here_are_named(small_bundle):
    report = verify(open_bundle(small_bundle))
    assert report.passed
    assert {"ort-cpu", "litert"} <= {comparison.runtime for comparison in report.comparisons}
    assert {"ort-cpu", "litert"} <= set(report.environment)
    assert {s.runtime for s in report.skipped} | {c.runtime for c in report.comparisons} >= {
        "ort-cpu", "ort-cuda", "litert"
    }  # fmt: skip


def test_a_named_runtime_that_is_not_here_is_no_pass(small_bundle):
    absent = [r for r in map(runtime_named, ("ort-cuda",)) if r.why_unavailable()]
    if not absent:
        pytest.skip("CUDA is here")
    with pytest.raises(RuntimeUnavailableError) as error:
        verify(open_bundle(small_bundle), runtimes=absent)
    assert "'ort-cuda'" in str(error.value)


@pytest.mark.parametrize("name", ["golden.npz", "sequence.onnx", "stream.onnx", "model.tflite"])
def test_an_altered_file_is_refused_not_compared(name, small_bundle):
    place = small_bundle / name
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(BundleError) as error:
        rnn_deploy.verify(small_bundle)
    assert name in str(error.value)


def test_where_tensorflow_itself_overflows_nothing_passes(small_bundle, weights):
    cases = [
        replace(
            case, reference=dict(case.reference) | {"y": case.reference["y"] + np.float32("inf")}
        )
        for case in read_cases(small_bundle / "golden.npz")
    ]
    report = report_on(small_bundle, relative_noise(weights), cases=cases)
    assert failed(report) >= Y
    assert {c.reference_error for c in report.comparisons if c.name == "y"} == {np.inf}


def test_without_an_oracle_the_reference_is_the_truth(small_bundle, weights):
    cases = [replace(case, oracle={}) for case in read_cases(small_bundle / "golden.npz")]
    assert report_on(small_bundle, answers(weights), cases=cases).passed
    report = report_on(small_bundle, relative_noise(weights), cases=cases)
    assert failed(report) == Y | FIRST | SECOND
    assert {comparison.reference_error for comparison in report.comparisons} == {None}
