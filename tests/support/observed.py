"""A report with its observations, made by hand: two runtimes, one of them wrong in one unit."""

import numpy as np

from rnn_deploy.runtimes.registry import SkippedRuntime
from rnn_deploy.verifying.judge.compare import (
    ComparisonContext,
    TensorPair,
    compare,
    with_reference,
)
from rnn_deploy.verifying.judge.tolerance import Budget
from rnn_deploy.verifying.report.observation import Observation
from rnn_deploy.verifying.report.report import FailedCheck, NodeDevice, Report

RNG = np.random.default_rng(7)
BUDGET = 1e-5
WRONG_STEP, WRONG_UNIT = 4, 2


def observation(runtime, check, name, value, truth, axis, steps, case="n2t6"):
    pair, budget = TensorPair(value, truth), Budget(BUDGET, 2e-7)
    kind = "output" if axis else "state"
    compared = compare(pair, ComparisonContext(runtime, check, case, name, kind), budget)
    reference = (truth + 2e-7).astype(np.float32)
    compared = with_reference(compared, truth, reference)
    return Observation(compared, pair, budget, reference, axis, steps)


def observations():
    """Observations of two runtimes and two tensors; `litert` is wrong by 1e-3 in one element."""
    y, h = RNG.standard_normal((2, 6, 3)), RNG.standard_normal((2, 5))
    for runtime in ("ort-cpu", "litert"):
        value = (y + 1e-7).astype(np.float32)
        value[1, WRONG_STEP, WRONG_UNIT] += 1e-3 * (runtime == "litert")
        yield observation(runtime, "states", "y", value, y, 1, tuple(range(6)))
        yield observation(runtime, "states", "h_out", (h + 1e-7).astype(np.float32), h, None, (5,))


def report_of(seen, failed_checks=(), name="<model> & co", digest="ab" * 32):
    return Report(
        reference="TensorFlow",
        bundle=f"some/{name}",
        digest=digest,
        environment={"machine": "abacus", "date": "2026-01-01 00:00:00 UTC", "ort-cpu": "1.0"},
        comparisons=tuple(o.comparison for o in seen),
        failed_checks=tuple(failed_checks),
        skipped=(SkippedRuntime("ort-cuda", "no <CUDA> here"),),
        node_devices=(NodeDevice("ort-cpu", "stream", "RNN", 1, "CPU", "CPU"),),
    )


ABORTED = FailedCheck("litert", "chunked", "n3t5", "ended with SIGABRT while running")
