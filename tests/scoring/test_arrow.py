"""Columns become arrays and back, whatever Arrow type holds them."""

import numpy as np
import pyarrow as pa
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.scoring.arrow import column_of, ragged_of, type_of
from rnn_deploy.spec import TensorSpec
from tests.support.errors import raises
from tests.support.scoring import sequences

F32 = pa.float32()
X = TensorSpec("x", ("batch", "time", 3), "float32")


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.list_(F32)),
        pa.list_(pa.list_(F32, 3)),
        pa.large_list(pa.large_list(pa.float64())),
        pa.list_(pa.list_(pa.float16())),
    ],
)
@pytest.mark.parametrize("start", [0, 3])
def test_lists_of_lists(kind, start):
    rows = sequences(8)
    column = pa.array([row.tolist() for row in rows], kind).slice(start)
    ragged, faults = ragged_of(column, X)
    assert not faults
    assert len(ragged) == 8 - start
    for found, row in zip(map(ragged.row, range(len(ragged))), rows[start:], strict=True):
        np.testing.assert_allclose(found, row, rtol=1e-3)


def test_fixed_shape_tensors():
    value = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    ragged, faults = ragged_of(pa.FixedShapeTensorArray.from_numpy_ndarray(value), X)
    assert not faults
    np.testing.assert_array_equal(ragged.values.reshape(value.shape), value)
    assert ragged.lengths.tolist() == [5] * 4


def test_bad_rows_are_faults_and_move_no_other_row():
    column = pa.array([[[1, 2, 3]], None, [[4, 5, None]], [[6, 7]], [[7, 8, 9], [1, 1, 1]]])
    ragged, faults = ragged_of(column, X)
    assert sorted(faults) == [1, 2, 3]
    assert ragged.lengths.tolist() == [1, 0, 0, 0, 2]
    assert ragged.row(4).tolist() == [[7, 8, 9], [1, 1, 1]]


@pytest.mark.parametrize(
    ("shape", "lengths", "kind"),
    [
        (("batch", "time", 2), [3, 1, 4], pa.list_(pa.list_(F32, 2))),
        (("batch", "time", 1), [3, 1, 4], pa.list_(F32)),
        (("batch", "time"), [3, 1, 4], pa.list_(F32)),
        (("batch", 4), None, pa.list_(F32, 4)),
        (("batch", 1), None, F32),
        (("batch",), None, F32),
        (("batch", 2, 3, 2), None, pa.list_(pa.list_(pa.list_(F32, 2), 3), 2)),
    ],
)
def test_outputs_become_columns_with_null_where_there_is_no_result(shape, lengths, kind):
    rng = np.random.default_rng(1)
    tensor = TensorSpec("y", shape, "float32")
    fixed = [dim for dim in shape[1:] if isinstance(dim, int)]
    sizes = [(n, *fixed) for n in lengths] if lengths else [tuple(fixed)] * 3
    rows = [np.asarray(rng.standard_normal(size), np.float32) for size in sizes]
    column = column_of(tensor, [rows[0], None, *rows[1:]])
    assert column.type == type_of(tensor) == kind
    found = column.to_pylist()
    assert found[1] is None
    for value, row in zip([found[0], *found[2:]], rows, strict=True):
        np.testing.assert_array_equal(np.array(value, np.float32).ravel(), row.ravel())
    assert column_of(tensor, [None, None]).null_count == 2


def test_an_output_with_two_open_axes_is_refused():
    with raises(InputError, "E-SCORE-OUTPUT", "'y'"):
        type_of(TensorSpec("y", ("batch", "time", "units"), "float32"))
