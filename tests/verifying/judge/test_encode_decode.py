"""The check encode-decode finds an encoder or a decoder that is wrong by itself."""

import numpy as np
import pytest

from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import verify


def spoiled(bundle, spoil):
    """ONNX Runtime with `spoil`, which changes feeds before a call and results after it."""
    loaded = {}

    def answer(entry, feeds):
        if entry.name not in loaded:
            loaded[entry.name] = runtime_named("ort-cpu").load(bundle, RunOptions(entry.name))
        given = {name: value.copy() for name, value in feeds.items()}
        spoil(entry.name, given, {})
        results = loaded[entry.name].run(given)
        spoil(entry.name, given, results)
        return results

    return FakeRuntime(answer, name="spoiled")


def lost_mask(entry, feeds, results):
    if entry == "decode":
        feeds["encoder_mask"] = np.ones_like(feeds["encoder_mask"])


def lost_states(entry, feeds, results):
    if entry == "decode":
        feeds["decoder_h_in"] = np.zeros_like(feeds["decoder_h_in"])


def wrong_memory(entry, feeds, results):
    if entry == "encode" and results:
        results["encoder"] = results["encoder"][:, ::-1].copy()


def wrong_last_state(entry, feeds, results):
    if entry == "decode" and results:
        results["decoder_h_out"] = results["decoder_h_out"] + np.float32(1e-3)


def wrong_scores(entry, feeds, results):
    if entry == "decode" and results:
        results["scores"] = np.roll(results["scores"], 1, axis=-1)


@pytest.mark.parametrize(
    ("spoil", "tensor", "detail"),
    [
        (lost_mask, "y", "decode alone"),
        (lost_states, "y", "decode alone"),
        (wrong_memory, "encoder", "encode"),
        (wrong_last_state, "decoder_h_out", "decode alone"),
        (wrong_scores, "scores", "decode alone"),
    ],
)
def test_a_planted_fault_is_found_on_its_side(translator_bundle, spoil, tensor, detail):
    report = verify(translator_bundle, runtimes=[spoiled(translator_bundle, spoil)])
    failed = [c for c in report.comparisons if not c.passed]
    assert {c.check for c in failed} == {"encode-decode"}
    assert (tensor, detail) in {(c.name, c.detail) for c in failed}
    assert failed[0].detail == detail
    assert report.findings


def test_the_runtime_itself_passes(translator_bundle):
    runtime = spoiled(translator_bundle, lambda *_: None)
    report = verify(translator_bundle, runtimes=[runtime], checks=("encode-decode",))
    assert report.passed
    assert {c.detail.split(" of ")[0] for c in report.comparisons} == {
        *("encode", "decode alone", "encode, decode whole", "encode, decode step by step"),
        "encode, decode in chunks",
    }
