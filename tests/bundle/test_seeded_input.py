import numpy as np
import pytest

from rnn_deploy.bundle.seeded_input import SeededInput


def test_the_values_never_change():
    """Bundles name only the seed, so these values are part of their format."""
    first = SeededInput(7, (1, 4), "float32").values()
    np.testing.assert_array_equal(
        first, np.array([[0.7658863, -1.1789745, -0.19499293, -0.2205062]], "f"), strict=True
    )
    ids = SeededInput(7, (1, 4), "int32", below=9).values()
    np.testing.assert_array_equal(ids, np.array([[4, 4, 7, 0]], "int32"), strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_values_have_mean_zero_and_variance_one(dtype):
    values = SeededInput(3, (100, 100), dtype).values()
    assert values.dtype == dtype
    assert abs(values.astype("d").mean()) < 0.02
    assert abs(values.astype("d").var() - 1) < 0.02
    assert np.abs(values).max() <= np.sqrt(3) * (1 + 2**-10)


def test_ids_lie_in_the_vocabulary_and_flags_are_both():
    ids = SeededInput(3, (50, 50), "int64", below=5).values()
    assert (ids.dtype, set(np.unique(ids))) == (np.int64, set(range(5)))
    flags = SeededInput(3, (50, 50), "bool").values()
    assert flags.dtype == bool
    assert 0.4 < flags.mean() < 0.6


def test_another_seed_gives_other_values():
    one, two = (SeededInput(seed, (3, 5), "float32").values() for seed in (1, 2))
    assert not np.isin(one, two).any()
