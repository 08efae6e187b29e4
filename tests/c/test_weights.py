import re

import numpy as np

from rnn_deploy.c.weights import WeightTable


def values_in(text):
    return np.array([float.fromhex(w) for w in re.findall(r"-?0x[0-9a-f.]+p[+-]?\d+(?=f)", text)])


def test_every_float_is_written_exactly():
    rng = np.random.default_rng(0)
    value = (rng.standard_normal(1000) * 10.0 ** rng.integers(-37, 37, 1000)).astype(np.float32)
    value = np.concatenate([value, np.float32([0.0, -0.0, 1e-45, 3.4028235e38, 1.0])])
    table = WeightTable()
    table.add("w", value)
    read = values_in(table.definitions()).astype(np.float32)
    assert read.tobytes() == value.tobytes()


def test_equal_arrays_are_written_once():
    table, value = WeightTable(), np.arange(6, dtype=np.float32).reshape(2, 3)
    first = table.add("first", value)
    assert table.add("second", value.copy()) == first
    assert table.add("third", value.reshape(3, 2)) != first
    assert table.bytes == 2 * 24
    assert table.declarations().count("extern") == 2
