"""What quantisation costs, and the budget that follows."""

import dataclasses
import json
import os

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import open_bundle, read_cases
from rnn_deploy.bundle.manifest import (
    Quantisation,
    QuantisationError,
    json_from_manifest,
    manifest_from_json,
)
from rnn_deploy.bundle.store import MANIFEST, record_of
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.verifying import quantisation_error
from rnn_deploy.verifying.judge.quantisation import FLOOR, MARGIN, checks_for, noise_budgets
from rnn_deploy.verifying.quantisation_error import appraise, errors_on
from tests.support.errors import raises
from tests.support.models import small_model


@pytest.fixture(scope="module")
def _quantised(tmp_path_factory):
    return rnn_deploy.export(
        small_model(),
        tmp_path_factory.mktemp("quantised") / "b",
        to=("tflite",),
        quantize="dynamic-int8",
        long=40,
    ).root


@pytest.fixture
def bundle(_quantised, tmp_path):
    import shutil

    return open_bundle(shutil.copytree(_quantised, tmp_path / "b"))


def rewritten(bundle, **changes):
    """The bundle with its manifest's quantisation changed."""
    quantisation = dataclasses.replace(bundle.manifest.quantisation, **changes)
    manifest = dataclasses.replace(bundle.manifest, quantisation=quantisation)
    (bundle.root / MANIFEST).write_text(json_from_manifest(manifest))
    return open_bundle(bundle.root)


def altered(bundle, factor):
    """The bundle with the scales of one int8 weight multiplied, its hash as it should be."""
    from rnn_deploy.tflite.flatbuffer.merge import unpacked
    from rnn_deploy.tflite.flatbuffer.packing import packed

    place = bundle.root / "model.tflite"
    model = unpacked(place.read_bytes())
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.type == 9 and list(tensor.shape) == [5, 5]:
                tensor.quantization.scale = factor * np.asarray(tensor.quantization.scale)
    place.write_bytes(packed(model))
    files = [
        record_of(bundle.root, r.path) if r.path == "model.tflite" else r
        for r in bundle.manifest.files
    ]
    manifest = dataclasses.replace(bundle.manifest, files=tuple(files))
    (bundle.root / MANIFEST).write_text(json_from_manifest(manifest))
    return open_bundle(bundle.root)


def test_the_cost_is_in_the_manifest_for_every_output_and_state(bundle):
    quantisation = bundle.manifest.quantisation
    assert (quantisation.format, quantisation.mode) == ("tflite", "dynamic-int8")
    assert quantisation.recurrent == quantisation.recurrent_all == 2
    kinds = {cost.tensor: cost.kind for cost in quantisation.costs}
    assert kinds == {"y": "output", "first_h_out": "state", "second_h_out": "state"}
    for cost in quantisation.costs:
        assert 25 < cost.snr_db < 60
        assert cost.max_abs > 1e-4
    labels = {cost.tensor: cost.labels for cost in quantisation.costs}
    assert labels == {"y": sum(v["y"].size // 2 for v in _sequences(bundle)), **_no_labels()}


def _sequences(bundle):
    cases = read_cases(bundle.checked(bundle.manifest.golden))
    return [case.truth for case in cases if "sequence" in case.entries]


def _no_labels():
    return {"first_h_out": 0, "second_h_out": 0}


def test_a_quantised_bundle_verifies_within_its_own_budgets(bundle):
    report = rnn_deploy.verify(bundle)
    assert report.passed
    costs = {cost.tensor: cost.max_abs for cost in bundle.manifest.quantisation.costs}
    for comparison in report.comparisons:
        assert comparison.budget == MARGIN * costs[comparison.name]
        if comparison.check != "hand-over":
            assert comparison.max_abs <= costs[comparison.name] * (1 + 1e-6)
    assert {"sequence", "states", "chunked", "long"} <= {c.check for c in report.comparisons}
    assert "extremes" not in {c.check for c in report.comparisons}
    assert any("quantised to dynamic-int8; budgets are 3 times" in note for note in report.notes)


def test_weights_off_by_a_third_are_found(bundle):
    report = rnn_deploy.verify(altered(bundle, 4 / 3))
    assert not report.passed
    assert {c.name for c in report.comparisons if not c.passed} >= {"first_h_out"}


def test_without_a_measured_cost_the_budget_is_float32_s(bundle):
    assert not rnn_deploy.verify(rewritten(bundle, costs=())).passed


def test_what_is_noisier_than_the_floor_gets_no_wider_budget(bundle):
    costs = bundle.manifest.quantisation.costs
    noisy = tuple(dataclasses.replace(cost, snr_db=FLOOR - 0.1) for cost in costs)
    assert not rnn_deploy.verify(rewritten(bundle, costs=noisy)).passed


def test_float32_artifacts_beside_it_keep_their_budget():
    quantisation = Quantisation(
        "tflite", "int8", 1, 1, 1, 4, "", (QuantisationError("y", "output", 30.0, 0.5),)
    )
    assert noise_budgets(quantisation) == {"y": MARGIN * 0.5}
    assert noise_budgets(None) == {}
    checks = ("sequence", "masks", "extremes", "long")
    assert checks_for(quantisation, checks) == ("sequence",)
    assert checks_for(None, checks) == checks


def _with_noise(cases, size):
    """A runtime that gives the truth and, on every output and state, an error of `size`."""
    by_feeds = {case.feeds["x"].tobytes(): case for case in cases}

    def answer(entry, feeds):
        case = by_feeds[feeds["x"].tobytes()]
        names = [tensor.name for tensor in entry.all_outputs]
        return {name: (case.truth[name] + size).astype(np.float32) for name in names}

    return FakeRuntime(answer, format="tflite")


def test_the_ratio_is_ten_log_of_signal_over_noise(bundle):
    place = bundle.checked(bundle.manifest.golden)
    cases = [c for c in read_cases(place) if len(c.chunks) < 2 and "x" in c.feeds]
    cases = [c for c in cases if "sequence" in c.entries]
    costs = {c.tensor: c for c in errors_on(bundle, _with_noise(cases, 0.25), cases)}
    values = np.concatenate([case.truth["y"].ravel() for case in cases])
    wanted = 10 * np.log10(np.mean(values**2) / 0.25**2)
    assert costs["y"].snr_db == pytest.approx(wanted, abs=0.02)
    assert costs["y"].max_abs == pytest.approx(0.25, rel=1e-5)
    assert costs["y"].labels_changed == 0
    exact = errors_on(bundle, _with_noise([], 0.0), [])
    assert exact == ()


def test_what_is_destroyed_is_reported(bundle, monkeypatch):
    place = bundle.checked(bundle.manifest.golden)
    cases = [c for c in read_cases(place) if len(c.chunks) < 2 and "sequence" in c.entries]
    monkeypatch.setattr(quantisation_error, "RUNTIMES", {"fake": _with_noise(cases, 9.0)})
    found = appraise(bundle, cases)
    assert any("output 'y'" in line and "10 dB" in line for line in found.warnings)


def aborting(entry, feeds):
    """Ends its process where a sequence has many steps."""
    if feeds["x"].shape[1] > 9:
        os.abort()
    shapes = {"y": (*feeds["x"].shape[:2], 2), "first_h_out": (5,), "second_h_out": (4,)}
    named = {t.name: shapes[t.name] for t in entry.all_outputs}
    return {n: np.zeros(s if n == "y" else (len(feeds["x"]), *s), "f") for n, s in named.items()}


def refusing(entry, feeds):
    raise InputError("E-TEST-ROOM", "no room for this")


@pytest.mark.parametrize(
    ("answer", "cause"),
    [(aborting, "SIGABRT"), (refusing, "no room for this")],
)
def test_a_file_that_ends_its_runtime_is_one_error_that_says_what_to_do(
    answer, cause, tmp_path, monkeypatch
):
    aborter = FakeRuntime(answer, name="aborter", format="tflite", in_process=False)
    monkeypatch.setattr(quantisation_error, "RUNTIMES", {"aborter": aborter})
    names = ("'small'", "aborter", "dynamic-int8", cause, "another --quantize")
    with raises(UnsupportedModelError, "E-MODEL-QUANTISED-NOT-RUN", *names):
        rnn_deploy.export(
            small_model(), tmp_path / "b", to=("tflite",), quantize="dynamic-int8", long=40
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["loud", [1]])
def test_a_damaged_cost_is_a_damaged_manifest(bundle, value):
    data = json.loads((bundle.root / MANIFEST).read_text())
    data["quantisation"]["costs"][0]["snr_db"] = value
    with pytest.raises(rnn_deploy.RnnDeployError) as error:
        manifest_from_json(json.dumps(data))
    assert "manifest.json" in str(error.value)
