"""Values of a call as the integers of a file, and back."""

import numpy as np
import pytest

from rnn_deploy.runtimes.integer_tensors import IntegerTensor, integer_tensors


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_integers_are_the_nearest_and_out_of_range_the_last(dtype):
    tensor = IntegerTensor(np.dtype(dtype), 0.25, 3)
    info = np.iinfo(dtype)
    every = np.arange(info.min, info.max + 1).astype(dtype)
    values = tensor.floats_of(every)
    assert values.dtype == np.float32
    assert np.array_equal(tensor.integers_of(values), every)
    assert np.array_equal(tensor.integers_of(values[5:-5] + np.float32(0.1)), every[5:-5])
    beyond = np.array([-1e9, 1e9, -np.inf, np.inf], np.float32)
    assert tensor.integers_of(beyond).tolist() == [info.min, info.max] * 2


def test_only_integers_in_place_of_floats_are_converted():
    def detail(dtype, scales):
        zeros = [2] * len(scales)
        return {"dtype": dtype, "quantization_parameters": {"scales": scales, "zero_points": zeros}}

    details = {
        "x": detail(np.int8, [0.5]),
        "ids": detail(np.int32, []),
        "kept": detail(np.float32, []),
        "table": detail(np.int8, [0.5]),
    }
    dtypes = {"x": "float32", "ids": "int32", "kept": "float32", "table": "int8"}
    assert integer_tensors(details, dtypes) == {"x": IntegerTensor(np.dtype(np.int8), 0.5, 2)}
