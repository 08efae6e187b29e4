"""Masks in ONNX against NumPy, for any mask. Neither TensorFlow nor Keras has a part in it."""

import functools

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.numerics.cells import run
from rnn_deploy.onnx import masks, native, scan, unrolled
from rnn_deploy.onnx.ops import NodeWriter
from tests.support.layers import GATES, layer_of, states_of
from tests.support.masked import by_counted_steps
from tests.support.masked import masks as any_mask

FLAGS = st.tuples(*[st.booleans()] * 4)  # backwards, zero output, every step, zero states
WIDTH = 3


def layer_with(cell, flags, **changes):
    backwards, zero, sequences, _ = flags
    return layer_of(
        np.random.default_rng(1),
        WIDTH,
        cell=cell,
        go_backwards=backwards,
        zero_output_for_mask=zero,
        return_sequences=sequences,
        masked=True,
        **changes,
    )


def input_of(name, shape, dtype=ir.DataType.FLOAT):
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def session_of(write, states):
    """A session of the graph that `write` writes from x, a mask and states."""
    x = input_of("x", ["batch", "time", WIDTH])
    mask = input_of("mask", ["batch", "time"], ir.DataType.BOOL)
    entering = [input_of(f"state{i}", ["batch", units]) for i, units in enumerate(states)]
    ops = NodeWriter("layer")
    outputs = write(ops, x, entering, mask)
    for output in outputs:
        output.type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [x, mask, *entering],
        outputs,
        nodes=ops.nodes,
        initializers=ops.initializers,
        opset_imports={"": 17},
        name="masked",
    )
    graph.sort()
    proto = ir.to_proto(ir.Model(graph, ir_version=8))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@functools.cache
def lowered(lowering, cell, flags, steps=None, given_state=False):
    layer = layer_with(cell, flags, steps=steps, initial_state=given_state)
    count = 0 if flags[3] else len(layer.roles)

    def write(ops, x, states, mask):
        result = lowering.lower(ops, layer, x, states or None, mask)
        return [result.output, *result.states]

    return layer, session_of(write, [layer.units] * count)


def assert_as_numpy(lowering, cell, flags, mask, **facts):
    layer, session = lowered(lowering, cell, flags, **facts)
    rng = np.random.default_rng(mask.size)
    x = rng.standard_normal((*mask.shape, WIDTH)).astype("f")
    states = states_of(rng, layer, len(mask))
    states = tuple(np.zeros_like(s) if flags[3] else s.astype("f") for s in states)
    feeds = {"x": x, "mask": mask} | {f"state{i}": state for i, state in enumerate(states)}
    wanted = [value.name for value in session.get_inputs()]
    output, *finals = session.run(None, {name: feeds[name] for name in wanted})
    expected, after = run(layer, x.astype("d"), states, mask)
    expected = expected if layer.return_sequences else expected[:, -1]
    for ours, theirs in zip((output, *finals), (expected, *after), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize("lowering", [native, scan], ids=lambda module: module.__name__[16:])
@pytest.mark.parametrize("cell", GATES)
@given(mask=any_mask, flags=FLAGS)
@settings(max_examples=60, deadline=None)
def test_a_masked_layer_is_the_masked_recurrence(lowering, cell, mask, flags):
    assert_as_numpy(lowering, cell, flags, mask)


@pytest.mark.parametrize("cell", GATES)
@given(mask=any_mask, flags=FLAGS)
@settings(max_examples=20, deadline=None)
def test_so_it_is_with_every_step_written_out(cell, mask, flags):
    assert_as_numpy(unrolled, cell, flags, mask, steps=mask.shape[1])


@pytest.mark.parametrize("lowering", [native, scan], ids=lambda module: module.__name__[16:])
@given(mask=any_mask, flags=st.tuples(*[st.booleans()] * 3, st.just(False)))
@settings(max_examples=30, deadline=None)
def test_an_output_before_the_first_step_that_counts_is_zero_after_a_given_state(
    lowering, mask, flags
):
    assert_as_numpy(lowering, "gru", flags, mask, given_state=True)


@functools.cache
def moved(backwards):
    """A session that returns what the operator is fed, (batch, time, width)."""
    layer = layer_with("simple_rnn", (backwards, False, True, True))

    def write(ops, x, states, mask):
        fed = []

        def keep(steps, lengths):
            fed.append(ops("Transpose", steps, perm=[1, 0, 2]))
            return fed[0], [ops("ReduceSum", fed[0], ops.constant("axes", np.array([1])))]

        masks.lower_masked(ops, layer, x, None, mask, keep)
        return fed

    return session_of(write, [])


@given(mask=any_mask, backwards=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_steps_that_count_are_moved_to_the_front_in_the_order_processed(mask, backwards):
    x = np.arange(mask.size * WIDTH, dtype="f").reshape(*mask.shape, WIDTH)
    (front,) = moved(backwards).run(None, {"x": x, "mask": mask})
    for row, counts in enumerate(mask):
        counted = x[row, counts][:: -1 if backwards else 1]
        np.testing.assert_array_equal(front[row, : len(counted)], counted)
        rest = {tuple(step) for step in front[row, len(counted) :]}
        assert rest == {tuple(step) for step in x[row, ~counts]}  # each step once, none invented


HOLES = np.array([[True, False, True, True, False], [False, True, False, False, True]])


@pytest.mark.parametrize("flags", [(False, False, True, False), (True, True, False, False)])
def test_both_ways_to_compute_the_expected_values_agree(flags):
    layer, _ = lowered(native, "lstm", flags)
    rng = np.random.default_rng(0)
    x, states = rng.standard_normal((2, 5, WIDTH)), states_of(rng, layer, 2)
    for ours, theirs in zip(
        run(layer, x, states, HOLES), by_counted_steps(layer, x, states, HOLES), strict=True
    ):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), atol=1e-13)


def forgets_backwards(real):
    """The order of a layer that runs forwards, also for one that runs backwards."""

    def places(ops, layer, mask):
        forwards = layer_with("simple_rnn", (False, False, True, False))
        return real(ops, forwards, mask)

    return places


def counts_every_step(real):
    """Every step counts."""

    def places(ops, layer, mask):
        return real(ops, layer, ops("Or", mask, ops("Not", mask)))

    return places


@pytest.mark.parametrize("fault", [forgets_backwards, counts_every_step])
def test_a_fault_in_the_mask_s_arithmetic_is_seen(monkeypatch, fault):
    flags = (True, False, True, False)
    assert_as_numpy(native, "gru", flags, HOLES)
    monkeypatch.setattr(masks, "_places", fault(masks._places))
    lowered.cache_clear()
    try:
        with pytest.raises(AssertionError):
            assert_as_numpy(native, "gru", flags, HOLES)
    finally:
        lowered.cache_clear()
