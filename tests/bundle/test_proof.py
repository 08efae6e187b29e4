"""What the references say of each other, and how it travels."""

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.proof import (
    Proof,
    ReferenceDistances,
    RunningStates,
    proof_of,
    read_proof,
    write_proof,
)
from rnn_deploy.errors import BundleError
from tests.support.errors import raises

NAN = float("nan")


@pytest.mark.parametrize(
    ("tensorflow", "cells", "between", "growth", "alone"),
    [
        (1e-7, 1e-16, 1e-7, 0.9, ""),
        (1e-7, 1e-16, 1e-7, NAN, ""),
        (0.3, 1e-16, 0.3, 0.9, "TensorFlow in float32"),
        (0.3, 1e-16, 0.3, 2.3, ""),  # a recurrence that amplifies
        (1e-7, 0.3, 0.3, 0.9, "the recurrence in NumPy"),
        (0.3, 0.3, 1e-7, 0.9, "the float64 oracle"),
        (0.3, 0.3, 0.3, 0.9, "each of the three"),
        (np.inf, 1e-16, np.inf, 0.9, "TensorFlow in float32"),
    ],
)
def test_the_one_that_is_alone_is_named(tensorflow, cells, between, growth, alone):
    assert ReferenceDistances("rnn", tensorflow, cells, between, 1.0, growth).alone == alone


def test_a_proof_comes_back_as_it_was_written(tmp_path):
    steps = np.arange(6.0).reshape(3, 1, 2)
    proof = Proof(
        (ReferenceDistances("a/b", 1e-7, 1e-16, 1e-7, 1.0, 0.5),),
        {"x": np.ones((1, 3, 2), np.float32)},
        {
            "h_out": RunningStates(steps, steps.astype(np.float32), steps + 1),
            "c_out": RunningStates(steps, steps, None),
        },
    )
    write_proof(tmp_path / "proof.npz", proof)
    again = read_proof(tmp_path / "proof.npz")
    assert again.votes == proof.votes
    assert np.array_equal(again.feeds["x"], proof.feeds["x"])
    assert list(again.running) == ["h_out", "c_out"]
    assert np.array_equal(again.running["h_out"].bound, steps + 1)
    assert again.running["c_out"].bound is None
    (tmp_path / "proof.npz").write_bytes(b"no archive")
    with raises(BundleError, "E-BUNDLE-DAMAGED", "proof.npz"):
        read_proof(tmp_path / "proof.npz")


def test_every_layer_of_a_bundle_has_its_votes_and_its_bound(small_bundle):
    proof = proof_of(open_bundle(small_bundle))
    assert [vote.layer for vote in proof.votes] == ["first", "second"]
    for vote in proof.votes:
        assert vote.cells < 1e-14 < vote.tensorflow < 1e-6
        assert vote.between == pytest.approx(vote.tensorflow, rel=1e-3)
        assert 0 < vote.growth < 1
    assert list(proof.running) == ["first_h_out", "second_h_out"]
    for running in proof.running.values():
        error = np.abs(running.reference - running.true)
        assert 0 < error.max() < 1e-6
        assert np.all(error <= running.bound)
