"""Made-up inputs of a shape."""

import numpy as np

from rnn_deploy.perf.bench.feeds import feeds_of, varied
from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.spec.shapes import Shape

RNG = np.random.default_rng(0)


def entry_of(*inputs):
    return EntryPoint("sequence", inputs, (TensorSpec("y", ("batch", 2), "float32"),))


def test_only_what_is_open_follows_the_shape():
    both = entry_of(
        TensorSpec("context", ("batch", 4, 2), "float32"),
        TensorSpec("x", ("batch", "time", 3), "float32"),
    )
    assert {n: v.shape for n, v in feeds_of(both, Shape(2, 9)).items()} == {
        "context": (2, 4, 2),
        "x": (2, 9, 3),
    }


def test_tokens_lie_in_the_vocabulary():
    ids = feeds_of(entry_of(TensorSpec("ids", ("batch", "time"), "int32", below=7)), Shape(50, 9))
    assert ids["ids"].dtype == np.int32
    assert set(ids["ids"].ravel()) == set(range(7))


def test_variations_hold_the_same_values_in_other_places():
    x, ids = RNG.standard_normal((3, 5, 2)).astype(np.float32), np.arange(15).reshape(3, 5)
    first, *others = varied({"x": x, "ids": ids})
    assert np.array_equal(first["x"], x)
    assert len({other["x"].tobytes() for other in (first, *others)}) == 16
    for other in others:
        for name, value in (("x", x), ("ids", ids)):
            assert other[name].shape == value.shape
            assert np.array_equal(np.sort(other[name], None), np.sort(value, None))


def test_large_inputs_are_not_multiplied():
    assert len(varied({"x": np.zeros(1 << 18, np.float32)})) == 1
