"""Cases x forms x runtimes, outputs and states, whole and in chunks; gaps are strict."""

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.conformance.cases import CASES
from rnn_deploy.conformance.checking import FORMS, CaseExporter, judged
from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.numerics import cells
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.spec import STEP, STREAM


@pytest.mark.shared_out(3)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_agrees_with_keras(case, form, maker, tmp_path, runtimes):
    bundle = maker.export(case, form, tmp_path / "bundle")
    outcomes = judged(bundle, case.name, form, runtimes)
    wrong = [outcome for outcome in outcomes if not outcome.as_expected]
    assert not wrong, wrong
    assert {"ort-cpu", "openvino-cpu"} <= {outcome.runtime for outcome in outcomes}
    assert ("litert" in {o.runtime for o in outcomes}) == (
        form == "auto" and "tflite" in case.formats
    )
    kinds = {c.cell for a in bundle.manifest.artifacts for c in a.choices}
    if kinds <= {"simple_rnn", "gru", "lstm"}:
        assert "numpy" in {outcome.runtime for outcome in outcomes}
    if form == "auto":
        _assert_native(bundle, case)
    for entry in bundle.manifest.entries:
        if entry.name == STREAM:
            assert entry.chunked.ok == case.chunked, entry.chunked


def _assert_native(bundle, case):
    """`auto` takes the native operator, except where the case says it cannot, and where another
    is faster: then Scan."""
    of_many_steps = (a for a in bundle.manifest.artifacts if a.format == "onnx" and a.entry != STEP)
    choices = [choice for artifact in of_many_steps for choice in artifact.choices]
    faster = [choice for choice in choices if "times as fast as native" in choice.reason]
    assert {choice.lowering for choice in faster} <= {"scan"}
    others = [choice for choice in choices if choice not in faster]
    if case.native is None:
        assert {choice.lowering for choice in choices} == {"native", "scan"}
        return
    assert {choice.lowering for choice in others} <= {"native" if case.native else "scan"}
    assert all(choice.reason.startswith("not native") != case.native for choice in others)


def test_the_cells_in_numpy_have_a_vote_that_counts(monkeypatch, tmp_path):
    step = cells._STEPS["gru"]
    case = next(case for case in CASES if case.name == "masked-GRU-sequence")

    def swapped(w, x, h):
        units = h.shape[-1]
        order = np.r_[units : 2 * units, :units, 2 * units : 3 * units]
        w.W, w.R, w.b = w.W[:, order], w.R[:, order], [bias[..., order] for bias in w.b]
        return step(w, x, h)

    monkeypatch.setitem(cells._STEPS, "gru", swapped)
    (outcome,) = judged(CaseExporter().export(case, "auto", tmp_path / "b"), case.name, "auto", [])
    assert outcome.runtime == "numpy"
    assert not outcome.as_expected
    assert "layer 'rnn': NumPy to oracle" in outcome.fault


def test_only_the_runtime_that_fails_to_load_has_a_fault(small_bundle):
    class Unloadable(FakeRuntime):
        def load(self, bundle, options):
            raise RuntimeUnavailableError("E-RUNTIME-LOAD", "it does not load this file")

    runtimes = [RUNTIMES["ort-cpu"], Unloadable(lambda entry, feeds: {}, name="broken")]
    bundle = open_bundle(small_bundle)
    outcomes = {o.runtime: o for o in judged(bundle, "small", "auto", runtimes)}
    assert "it does not load this file" in outcomes["broken"].fault
    assert outcomes["ort-cpu"].fault == ""
    assert outcomes["ort-cpu"].compared > 10
