"""The line with the cause of a failure."""

from dataclasses import replace

import pytest

from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.report.cause import cause_of
from rnn_deploy.verifying.report.report import FailedCheck, Report
from tests.support.reports import GOOD

WRONG = replace(GOOD, max_abs=1e-3, files=("stream.onnx",))
RIGHT = replace(GOOD, files=("sequence.onnx",))
HANDED = replace(
    GOOD, runtime="litert", check="hand-over", max_abs=1e-3, detail="resumed on ort-cpu",
    files=("model.tflite", "stream.onnx"),
)  # fmt: skip
FINDING = Finding("ort-cpu", "states", "n1t1", "h", "rnn", "h", 0, 0, (), 1, 1)
EXPLAINED = replace(FINDING, fault="as if: the bias is missing")
WEIGHTS = FailedCheck("weights", "weights", "weights.bin", "'rnn/R' is 1.01 x recurrent_kernel")


def report_of(*comparisons, **facts):
    return replace(Report("ref", "b", "0f", {}, comparisons, (), ()), **facts)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (report_of(GOOD), ""),
        (report_of(RIGHT, WRONG), "stream.onnx is wrong on ort-cpu"),
        (
            report_of(RIGHT, WRONG, findings=(FINDING,)),
            "stream.onnx is wrong on ort-cpu: layer 'rnn', first in its state h",
        ),
        (
            report_of(
                RIGHT, WRONG, HANDED, findings=(EXPLAINED,)
            ),
            "stream.onnx is wrong on ort-cpu: layer 'rnn', as if: the bias is missing; litert fails"
            " only where ort-cpu continues its states",
        ),
        (
            report_of(GOOD, failed_checks=(WEIGHTS,)),
            "weights.bin is wrong: 'rnn/R' is 1.01 x recurrent_kernel",
        ),
        (
            report_of(
                WRONG,
                replace(WRONG, files=("sequence.onnx",)),
                shared_weights={"weights.bin": ("stream.onnx", "sequence.onnx")},
            ),
            "weights.bin (all of stream.onnx, sequence.onnx read it) is wrong on ort-cpu",
        ),
        (
            report_of(
                WRONG,
                RIGHT,
                failed_checks=(WEIGHTS,),
                shared_weights={"weights.bin": ("stream.onnx", "sequence.onnx")},
            ),
            "weights.bin is wrong: 'rnn/R' is 1.01 x recurrent_kernel",
        ),
        (
            report_of(WRONG, replace(WRONG, files=("sequence.onnx",))),
            "stream.onnx and sequence.onnx are wrong on ort-cpu",
        ),
        (
            report_of(
                WRONG, RIGHT, shared_weights={"weights.bin": ("stream.onnx", "sequence.onnx")}
            ),
            "stream.onnx is wrong on ort-cpu",
        ),
        (report_of(replace(GOOD, max_abs=1.0)), "ort-cpu is wrong"),
        (report_of(failed_checks=(FailedCheck("c", "load", "x", "no gcc"),)), "c: no gcc"),
        (
            report_of(RIGHT, failed_checks=2 * (FailedCheck("ort", "step", "x", "no", ("a",)),)),
            "a on ort: no",
        ),
        (report_of(), "nothing was checked"),
    ],
)  # fmt: skip
def test_the_cause_names_what_is_wrong(report, expected):
    assert cause_of(report) == expected
