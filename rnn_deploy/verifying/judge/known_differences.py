"""Differences that are known of runtimes: they are said in every report and fail none.

Seen with onnxruntime 1.32 and openvino 2026.4: a NaN or an infinity in the input reaches neither
the outputs nor the states of a recurrent operator whose activations are written with the
processor's minimum and maximum, which drop NaN. TensorFlow gives NaN there.

What a NaN becomes as an integer or a truth value no standard says, so there every runtime has its
own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnn_deploy.runtimes.tuned import TUNED
from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.compare import Comparison, errors

CASES = ("nan", "infinite")
SWALLOWING = ("ort-cpu", "ort-cuda", "openvino-cpu", TUNED)  # a plan may have any of them run
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True)
class KnownDifference:
    """Where a value may be another than the truth, and why."""

    where: Mask
    reason: str


def why_known(
    comparison: Comparison, actual: Array, truth: Array, feeds: Mapping[str, Array]
) -> str:
    """Why a comparison outside its budget is known to be so; empty where it is not."""
    if comparison.check != "extremes" or comparison.within or actual.shape != truth.shape:
        return ""
    if comparison.case not in CASES:
        return ""
    continuous = truth.dtype.kind == "f"
    known = _swallowed(truth) if continuous else _discrete(truth, feeds)
    if continuous and comparison.runtime not in SWALLOWING:
        return ""
    elsewhere = errors(actual, truth)[~known.where]
    return known.reason if float(elsewhere.max(initial=0.0)) <= comparison.budget else ""


def _swallowed(truth: Array) -> KnownDifference:
    """Only where TensorFlow's value is NaN may the runtime's be another."""
    reason = "its recurrent operators swallow NaN, where TensorFlow passes it on"
    return KnownDifference(np.isnan(truth), reason)


def _discrete(truth: Array, feeds: Mapping[str, Array]) -> KnownDifference:
    """Only in rows into which a NaN or an infinity went."""
    floats = [value for value in feeds.values() if value.dtype.kind == "f"]
    finite = [np.isfinite(value).reshape(len(value), -1).all(1) for value in floats]
    touched = ~np.all(finite, axis=0)
    where = np.zeros(truth.shape, bool)
    if truth.shape[:1] == touched.shape:
        where[touched] = True
    return KnownDifference(where, "an integer or a truth value made of NaN is each runtime's own")
