"""What a verification says of the model itself: chaos, NaN, references that disagree."""

import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest

from rnn_deploy import export
from rnn_deploy.bundle import open_bundle, read_cases
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.proof import PROOF, ReferenceDistances, read_proof, write_proof
from rnn_deploy.bundle.store import record_of
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.compare import ComparisonContext, TensorPair, compare
from rnn_deploy.verifying.judge.known_differences import why_known
from rnn_deploy.verifying.judge.tolerance import Budget
from rnn_deploy.verifying.report.report import Report
from tests.support.gated import Gated


@pytest.fixture(scope="module")
def chaotic(tmp_path_factory):
    """A recurrence whose errors grow more than twofold per step."""
    rng = np.random.default_rng(0)
    x = keras.Input((None, 3), name="x")
    layer = keras.layers.SimpleRNN(24, return_sequences=True, name="rnn")
    model = keras.Model(x, layer(x))
    shapes = [weight.shape for weight in model.get_weights()]
    scales = (1.0, 6.0 / np.sqrt(24), 0.1)
    model.set_weights([s * rng.standard_normal(n) for s, n in zip(scales, shapes, strict=True)])
    return export(model, tmp_path_factory.mktemp("chaotic") / "b", to=("onnx",), long=500)


def test_a_chaotic_recurrence_is_said_to_be_one_and_judged_by_single_steps(chaotic):
    report = verify(chaotic, runtimes=[runtime_named("ort-cpu")])
    assert report.passed, report.verdict
    assert any("layer 'rnn' amplifies" in note for note in report.notes)
    assert any("not decisive" in note and "rnn_h_out" in note for note in report.notes)
    decisive = {c.check for c in report.comparisons if c.decisive}
    vague = {(c.check, c.case) for c in report.comparisons if not c.decisive}
    assert "teacher-forced" in decisive
    assert ("long", "n1t500") in vague
    assert not any(case.endswith("-steps") for _, case in vague)


def test_wrong_arithmetic_in_a_chaotic_recurrence_is_seen_in_single_steps(chaotic):
    """A runtime that rounds its outputs to sixteen bits."""
    runner = runtime_named("ort-cpu")

    def load(bundle, options):
        true = runner.load(bundle, options)

        def answer(entry, feeds):
            given = true.run(feeds)
            return {n: v.astype(np.float16).astype(np.float32) for n, v in given.items()}

        return FakeRuntime(answer).load(bundle, options)

    fake = FakeRuntime(lambda entry, feeds: {})
    object.__setattr__(fake, "load", load)
    report = verify(chaotic, runtimes=[fake], checks=["teacher-forced", "long"])
    assert {c.check for c in report.comparisons if not c.passed} == {"teacher-forced"}


def test_only_vague_comparisons_are_no_pass(chaotic):
    report = verify(chaotic, runtimes=[runtime_named("ort-cpu")], checks=["long"])
    assert not report.passed
    assert report.never_decisive == ("rnn", "rnn_h_out")
    assert "rnn, rnn_h_out" in report.verdict


def test_a_model_that_gives_nan_is_said_loudly(gated, gated_bundle):
    spoiled = [
        replace(case, **{part: {n: v * np.nan for n, v in getattr(case, part).items()}})
        for case in read_cases(gated_bundle.root / "golden.npz")
        for part in ("oracle",)
    ]
    spoiled = [replace(case, reference=case.oracle) for case in spoiled]
    nan = Gated(gated.gru, gated.lstm, gated.dense, outputs=lambda feeds, results, calls: {
        name: value * np.nan for name, value in results.items()})  # fmt: skip
    report = verify(gated_bundle, runtimes=[nan.runtime()], cases=spoiled, checks=["states"])
    assert any("NaN or infinity in 'y'" in note for note in report.notes)
    assert not report.passed
    assert "y" in report.never_finite


def test_nan_that_onnx_runtime_swallows_is_known_of_it_and_of_no_other(gated, gated_bundle):
    def dropping(feeds, results, calls):
        return {name: np.nan_to_num(value) for name, value in results.items()}

    spoiled = replace(gated, outputs=dropping)
    for swallowing in ("ort-cpu", "tflite-micro", "tuned"):
        runtimes = [spoiled.runtime(swallowing)]
        report = verify(gated_bundle, runtimes=runtimes, checks=["extremes"])
        assert report.passed
        assert any(comparison.known for comparison in report.comparisons)
        assert "known difference" in report.verdict
        assert any("drop NaN" in note for note in report.notes)
    assert not verify(gated_bundle, runtimes=[spoiled.runtime()], checks=["extremes"]).passed

    def also_wrong(feeds, results, calls):
        return {name: np.nan_to_num(value) + 1e-3 for name, value in results.items()}

    worse = replace(gated, outputs=also_wrong).runtime("ort-cpu")
    assert not verify(gated_bundle, runtimes=[worse], checks=["extremes"]).passed


@pytest.mark.parametrize(
    ("case", "row", "known"),
    [("nan", 1, True), ("nan", 0, False), ("zeros", 1, False)],
    ids=["made of NaN", "another row", "another case"],
)
def test_an_integer_made_of_nan_is_each_runtime_s_own(case, row, known):
    x = np.zeros((2, 3, 1), np.float32)
    x[1, 2] = np.nan
    truth = np.array([[1, 2, 3], [4, 5, 6]], np.int64)
    found = truth.copy()
    found[row, 2] = -(2**31)
    pair = TensorPair(found, truth)
    context = ComparisonContext("litert", "extremes", case, "y", "output")
    comparison = compare(pair, context, Budget(0.0, 0.0))
    assert not comparison.passed
    assert bool(why_known(comparison, pair, {"x": x})) is known


def test_references_that_disagree_are_no_pass(gated, gated_bundle, tmp_path):
    root = shutil.copytree(gated_bundle.root, tmp_path / "b")
    proof = read_proof(root / PROOF)
    votes = (replace(proof.votes[0], cells=0.25, between=0.25), *proof.votes[1:])
    write_proof(root / PROOF, replace(proof, votes=votes))
    manifest = open_bundle(root).manifest
    files = tuple(record_of(root, record.path) for record in manifest.files)
    (root / "manifest.json").write_text(json_from_manifest(replace(manifest, files=files)))
    report = verify(open_bundle(root), runtimes=[gated.runtime()], checks=["states"])
    assert not report.passed
    (layer,) = report.disagreeing_references
    assert (layer.layer, layer.alone) == ("gru", "the recurrence in NumPy")
    assert "'gru'" in report.verdict
    assert any("layer 'gru': the recurrence in NumPy" in note for note in report.notes)


def test_reference_distances_are_in_the_report(gated, gated_bundle):
    report = verify(gated_bundle, runtimes=[gated.runtime()], checks=["states"])
    assert isinstance(report, Report)
    distances = report.reference_distances
    assert [type(each) for each in distances] == [ReferenceDistances, ReferenceDistances]
    assert [each.alone for each in distances] == ["", ""]
