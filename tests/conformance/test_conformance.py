"""Cases x lowerings x runtimes, outputs and states, whole and in chunks.

Each case is exported with each lowering and verified on every runtime. The budget is the
verification's own; beside it the absolute bound that the project promises at these sizes.
"""

import pytest

from tests.conformance.cases import CASES, Case
from tests.conftest import randomised

PROMISED = 2e-6  # absolute error against the oracle, at up to 16 steps and 70 units
STEPS = 4  # of the sequence entry point, for the lowerings that need a fixed length


def _exported(case: Case, lowering: str, tmp_path):
    from rnn_deploy.exporting.bundle import export
    from rnn_deploy.exporting.plan import ExportOptions

    model = randomised(case.build(), seed=3, scale=case.scale)
    to = ("onnx", "tflite") if lowering == "auto" else ("onnx",)
    open_length = any(tensor.shape[1:2] == (None,) for tensor in model.inputs)
    time = STEPS if lowering == "unrolled" and open_length else None
    return export(model, tmp_path / "bundle", ExportOptions(to, lowering, time))


@pytest.mark.parametrize("lowering", ["auto", "scan", "unrolled"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_agrees_with_keras(case, lowering, tmp_path):
    from rnn_deploy.verifying import verify

    bundle = _exported(case, lowering, tmp_path)
    report = verify(bundle)
    failed = [c for c in report.comparisons if not c.passed]
    assert report.passed, f"{report.verdict}: {failed} {report.faults}"
    assert max(c.max_abs for c in report.comparisons) <= PROMISED
    if lowering == "auto":
        _assert_native(bundle, case)
    _assert_complete(bundle, case.chunked, report)


def _assert_native(bundle, case):
    """`auto` takes the native operator, except where the case says it cannot: then Scan."""
    choices = [c for a in bundle.manifest.artifacts if a.format == "onnx" for c in a.choices]
    assert {choice.lowering for choice in choices} == {"native" if case.native else "scan"}
    assert all(choice.reason.startswith("not native") != case.native for choice in choices)


def _assert_complete(bundle, chunked, report):
    """Every output of every entry point was compared, on every runtime the bundle is for."""
    formats = {artifact.format for artifact in bundle.manifest.artifacts}
    runtimes = {"onnx": "ort-cpu", "tflite": "litert"}
    seen = {(c.runtime, c.check, c.name) for c in report.comparisons}
    for runtime in (runtimes[form] for form in formats):
        for entry in bundle.manifest.entries:
            check = "sequence" if entry.name == "sequence" else "states"
            for tensor in entry.all_outputs:
                assert (runtime, check, tensor.name) in seen
                if entry.name == "stream":
                    assert ((runtime, "chunked", tensor.name) in seen) == chunked
