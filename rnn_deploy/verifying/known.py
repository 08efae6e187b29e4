"""Differences that are known of a runtime: they are said in every report and fail none.

Seen with onnxruntime 1.32 and openvino 2026.4: a NaN or an infinity in the input reaches neither
the outputs nor the states of a recurrent operator whose activations are written with the
processor's minimum and maximum, which drop NaN. TensorFlow gives NaN there.
"""

from dataclasses import dataclass

import numpy as np

from rnn_deploy.spec import Array
from rnn_deploy.verifying.compare import Comparison, errors


@dataclass(frozen=True)
class Difference:
    """What is known to differ: on which runtimes, in which golden cases, and why."""

    runtimes: tuple[str, ...]
    cases: tuple[str, ...]
    reason: str


SWALLOWED = Difference(
    ("ort-cpu", "ort-cuda", "openvino-cpu"),
    ("nan", "infinite"),
    "its recurrent operators swallow NaN, where TensorFlow passes it on",
)
DIFFERENCES = (SWALLOWED,)


def why_known(comparison: Comparison, actual: Array, truth: Array) -> str:
    """Why a comparison outside its budget is known to be so; empty where it is not.

    Only where TensorFlow's value is NaN may the runtime's be another, and nowhere else.
    """
    if comparison.check != "extremes" or comparison.within or actual.shape != truth.shape:
        return ""
    elsewhere = errors(actual, truth)[~np.isnan(truth)]
    if float(elsewhere.max(initial=0.0)) > comparison.budget:
        return ""
    for known in DIFFERENCES:
        if comparison.runtime in known.runtimes and comparison.case in known.cases:
            return known.reason
    return ""
