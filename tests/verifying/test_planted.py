"""Planted faults: each is found, localised, and called by its name."""

from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.verifying import verify
from tests.support.weight_faults import WEIGHTS, bfloat16, moved_gates


def flipped(gated, layer, array, index, bit):
    spoiled = getattr(getattr(gated, layer), array).astype(np.float32)
    spoiled.view(np.uint32)[index] ^= np.uint32(1 << bit)
    return gated.with_layer(layer, **{array: spoiled})


def late_mask(mask):
    return np.concatenate([np.ones_like(mask[:, :1]), mask[:, :-1]], axis=1)


# The fault, the layer it must be found in, and what the report must call it.
FAULTS = {
    "gates of the GRU swapped": (
        lambda g: g.with_layer("gru", **moved_gates(g.gru, (1, 0, 2))),
        "gru", "gates z and r are swapped",
    ),
    "gates of the LSTM in ONNX's order": (
        lambda g: g.with_layer("lstm", **moved_gates(g.lstm, (0, 3, 1, 2))),
        "lstm", "gates are in the order i, o, f, c",
    ),
    "linear_before_reset": (
        lambda g: g.with_layer("gru", reset_after=False),
        "gru", "the reset gate is applied before the product (reset_after, linear_before_reset)",
    ),
    "bias left out": (lambda g: g.with_layer("lstm", bias=None), "lstm", "the bias is left out"),
    "half of a bias left out": (
        lambda g: g.with_layer("gru", bias=g.gru.bias * np.array([[1.0], [0.0]])),
        "gru", "the bias of the recurrent product is left out",
    ),
    "mask off by one": (
        lambda g: replace(g, masked=late_mask), "gru", "the mask is off by one, a step too late",
    ),
    "mask ignored": (
        lambda g: replace(g, masked=np.ones_like), "gru", "the mask is ignored",
    ),
    "stale state": (
        lambda g: replace(g, states_out=lambda before, after: [before[0], *after[1:]]),
        "gru", "the state is stale: what goes in comes out",
    ),
    "h and c swapped on their way out": (
        lambda g: replace(g, states_out=lambda before, after: [after[0], after[2], after[1]]),
        "lstm", "the states h and c leave in each other's place",
    ),
    "hard_sigmoid's slope": (
        lambda g: g.with_layer("gru", recurrent_activation="hard_sigmoid of slope 0.2"),
        "gru", "recurrent_activation is hard_sigmoid of slope 0.2 in place of hard_sigmoid",
    ),
    "bfloat16": (
        lambda g: replace(g, rounded=bfloat16), "gru", "it is computed in bfloat16 in place of",
    ),
    "weights of bfloat16": (
        lambda g: g.with_layer("lstm", **{n: bfloat16(getattr(g.lstm, n)) for n in WEIGHTS}),
        "lstm", "the weights are bfloat16, cut in place of float32",
    ),
    "one bit of an input weight": (
        lambda g: flipped(g, "gru", "kernel", (1, 6), 21),
        "gru", "one weight differs in one bit: kernel[1, 6] is",
    ),
    "one bit of a recurrent weight": (
        lambda g: flipped(g, "lstm", "recurrent_kernel", (2, 7), 31),
        "lstm", "one weight differs in one bit: recurrent_kernel[2, 7] is",
    ),
    "one bit of a recurrent weight of the GRU": (
        lambda g: flipped(g, "gru", "recurrent_kernel", (0, 10), 20),
        "gru", "(bit 20 of its float32 is flipped)",
    ),
    "recurrent kernel transposed": (
        lambda g: g.with_layer("lstm", recurrent_kernel=np.concatenate(
            [part.T for part in np.split(g.lstm.recurrent_kernel, 4, axis=1)], axis=1)),
        "lstm", "the recurrent kernel is transposed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_localised_and_named(fault, gated, gated_bundle, gated_at_hand):
    plant, layer, name = FAULTS[fault]
    report = verify(
        gated_bundle,
        runtimes=[plant(gated).runtime()],
        checks=("states", "teacher-forced", "masks"),
        original=gated_at_hand.original,
    )
    assert not report.passed
    assert {finding.layer for finding in report.findings} == {layer}
    assert name in {f.explained for f in report.findings}.pop()
    assert all(name in line for f in report.findings for line in f.lines[-1:])


def test_what_is_right_is_found_right_by_every_check(gated, gated_bundle):
    report = verify(gated_bundle, runtimes=[gated.runtime()])
    assert report.passed, report.verdict
    assert report.findings == ()


def test_a_fault_of_no_known_kind_is_localised_and_not_named(gated, gated_bundle, gated_at_hand):
    odd = gated.with_layer("lstm", kernel=gated.lstm.kernel * 1.01 + 0.02)
    report = verify(
        gated_bundle, runtimes=[odd.runtime()], checks=("states",), original=gated_at_hand.original
    )
    (finding,) = report.findings
    assert (finding.layer, finding.explained) == ("lstm", "")
