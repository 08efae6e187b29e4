"""Known differences of runtimes. Every report mentions them, and they fail no verification.

Seen with onnxruntime 1.32 and openvino 2026.4: a NaN or an infinity in the input reaches neither
the outputs nor the states of a recurrent operator whose activations use the processor's minimum and
maximum, which drop NaN. TensorFlow returns NaN there. Seen with tflite-micro: its maximum over an
axis, and its recurrence after a convolution, drop NaN too.

No standard defines what a NaN becomes as an integer or a truth value, so runtimes differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnn_deploy.runtimes.tuned import TUNED
from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.compare import Comparison, TensorPair
from rnn_deploy.verifying.judge.distance import errors

CASES = ("nan", "infinite")
SWALLOWING = (
    "ort-cpu",
    "ort-cuda",
    "ort-web",
    "openvino-cpu",
    "tflite-micro",
    TUNED,
)  # a plan may choose any of them
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True)
class KnownDifference:
    """The elements that may differ from the truth, and why."""

    where: Mask
    reason: str


def why_known(comparison: Comparison, pair: TensorPair, feeds: Mapping[str, Array]) -> str:
    """Return why a comparison is known to be outside its budget; empty if it is not known."""
    actual, truth = pair.actual, pair.truth
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
    """Allow a difference only where TensorFlow's value is NaN."""
    reason = "some of its operators drop NaN, TensorFlow passes it on"
    return KnownDifference(np.isnan(truth), reason)


def _discrete(truth: Array, feeds: Mapping[str, Array]) -> KnownDifference:
    """Allow a difference only in rows whose inputs hold a NaN or an infinity."""
    floats = [value for value in feeds.values() if value.dtype.kind == "f"]
    finite = [np.isfinite(value).reshape(len(value), -1).all(1) for value in floats]
    touched = ~np.all(finite, axis=0)
    where = np.zeros(truth.shape, bool)
    if truth.shape[:1] == touched.shape:
        where[touched] = True
    return KnownDifference(where, "runtimes convert NaN to different integers and truth values")
