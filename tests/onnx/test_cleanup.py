"""The passes remove what does nothing, and nothing else."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.onnx.cleanup import clean, name_everything
from rnn_deploy.spec import EntryPoint, TensorSpec

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)


def parsed(text):
    return ir.from_proto(onnx.parser.parse_model(HEAD + text))


def run(model):
    """The outputs for X, the model's only input, by a checked model."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: X})


def operators(model):
    return [node.op_type for node in model.graph]


def test_an_axis_is_added_only_where_there_is_one():
    model = parsed(
        "g (float[2, 3, 4] x) => (float[A, B, C, D] y)"
        "<int64[0] none = {}, int64[1] one = {1}>"
        "{ a = Unsqueeze (x, none)  b = Unsqueeze (a, one)  y = Relu (b) }"
    )
    before = run(model)
    clean(model)
    assert operators(model) == ["Unsqueeze", "Relu"]
    assert all(map(np.array_equal, run(model), before))


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("", "", 0),
        ("", "<perm=[2, 1, 0]>", 0),
        ("<perm=[2, 1, 0]>", "", 0),
        ("", "<perm=[1, 0, 2]>", 2),
    ],
)
def test_a_transpose_without_perm_reverses_all_axes(first, second, left):
    model = parsed(
        "g (float[2, 3, 4] x) => (float[A, B, C] y)"
        f"{{ a = Transpose {first} (x)  b = Transpose {second} (a)  y = Relu (b) }}"
    )
    before = run(model)
    clean(model)
    assert operators(model).count("Transpose") == left
    np.testing.assert_array_equal(run(model), before)


@given(first=st.permutations([0, 1, 2]), second=st.permutations([0, 1, 2]))
@settings(max_examples=36, deadline=None)
def test_transposes_go_exactly_where_they_cancel(first, second):
    model = parsed(
        "g (float[A, B, C] x) => (float[D, E, F] y)"
        f"{{ a = Transpose <perm = {first}> (x) b = Transpose <perm = {second}> (a) y = Tanh(b) }}"
    )
    clean(model)
    expected = X.transpose(first).transpose(second)
    assert ("Transpose" not in operators(model)) is np.array_equal(expected, X)
    np.testing.assert_allclose(run(model)[0], np.tanh(expected), rtol=1e-6)


def test_a_transpose_another_node_still_reads_stays():
    model = parsed(
        "g (float[A, B, C] x) => (float[A, B, C] y, float[B, A, C] z)"
        "{ a = Transpose <perm = [1, 0, 2]> (x) b = Transpose <perm = [1, 0, 2]> (a)"
        " y = Relu(b) z = Tanh(a) }"
    )
    clean(model)
    assert operators(model).count("Transpose") == 1
    y, z = run(model)
    assert np.array_equal(y, np.maximum(X, 0))
    np.testing.assert_allclose(z, np.tanh(X.transpose(1, 0, 2)), rtol=1e-6)


def test_what_nothing_reads_goes_and_what_is_equal_is_done_once():
    model = parsed(
        "g (float[A, B, C] x) => (float[A, B, C] y)"
        "{ a = Tanh(x) b = Tanh(x) i = Identity(b) unread = Relu(x) y = Add(a, i) }"
    )
    clean(model)
    assert sorted(operators(model)) == ["Add", "Tanh"]
    np.testing.assert_allclose(run(model)[0], 2 * np.tanh(X), rtol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "a = Tanh(x) y = Identity(a) z = Identity(a)",
        "y = Identity(x) z = Identity(x)",
        "y = Tanh(x) z = Identity(x)",
        "t = Transpose <perm = [1, 0, 2]> (x) y = Transpose <perm = [1, 0, 2]> (t) z = Tanh(x)",
    ],
    ids=["one value twice", "the input twice", "the input and another", "cancelled to the input"],
)
def test_outputs_that_are_one_value_stay_outputs_of_their_own(body):
    model = parsed(f"g (float[A, B, C] x) => (float[A, B, C] y, float[A, B, C] z) {{ {body} }}")
    before = run(model.clone())
    clean(model)
    ends = [TensorSpec(name, ("batch", "time", 4), "float32") for name in ("x", "p", "q")]
    name_everything(model, EntryPoint("sequence", tuple(ends[:1]), tuple(ends[1:])))
    proto = ir.to_proto(model)
    assert [value.name for value in proto.graph.input] == ["x"]
    assert [value.name for value in proto.graph.output] == ["p", "q"]
    for found, expected in zip(run(model), before, strict=True):
        assert np.array_equal(found, expected)


def test_inner_names_that_inputs_and_outputs_take_give_way():
    model = parsed(
        "g (float[A, B, C] p) => (float[A, B, C] q) { x = Tanh(p) y = Relu(x) q = Tanh(y) }"
    )
    clean(model)
    ends = [TensorSpec(name, ("batch", "time", 4), "float32") for name in ("y", "x")]
    name_everything(model, EntryPoint("sequence", (ends[0],), (ends[1],)))
    names = [value for node in ir.to_proto(model).graph.node for value in node.output]
    assert len({*names, "y"}) == 4
    assert names[-1] == "x"
    np.testing.assert_allclose(run(model)[0], np.tanh(np.maximum(np.tanh(X), 0)), rtol=1e-6)


LAYER = "RNN <hidden_size = 4>"
TURNED = "Transpose <perm = [2, 0, 1, 3]>"
SWAPPED = "Transpose <perm = [1, 0, 2]>"


@pytest.mark.parametrize(
    ("others", "outputs", "joined"),
    [
        ("", "", True),
        ("z = Tanh(x)", ", float[T, B, 4] z", True),  # what the first layer turned is its own
        ("z = Tanh(s1)", ", float[B, T, 4] z", False),
        ("z = Tanh(t)", ", float[T, B, 4] z", False),
        ("", ", float[B, T, 4] s1", False),
        (f"y3 = {LAYER} (t, r, w) z = Tanh(y3)", ", float[T, 1, B, 4] z", False),
    ],
)
def test_layers_are_joined_where_nothing_else_reads(others, outputs, joined):
    model = parsed(
        f"g (float[B, T, 4] x) => (float[T, 1, B, 4] y2{outputs})"
        f" <float[1, 4, 4] w = {{{spread(16, 1)}}}, float[1, 4, 4] r = {{{spread(16, 2)}}},"
        " int64[1] a = {2}>"
        f"{{ t = {SWAPPED} (x) y1 = {LAYER} (t, w, r) b1 = {TURNED} (y1) s1 = Squeeze(b1, a)"
        f" t2 = {SWAPPED} (s1) y2 = {LAYER} (t2, w, r) {others} }}"
    )
    expected = run(model)
    clean(model)
    for found, before in zip(run(model), expected, strict=True):
        np.testing.assert_array_equal(found, before)
    kept = sum(list(n.attributes["perm"].as_ints()) == [2, 0, 1, 3] for n in turning(model))
    assert kept == (0 if joined else 1)


def turning(model):
    return [node for node in model.graph if node.op_type == "Transpose"]


def spread(count, first):
    return ", ".join(str(x) for x in np.round(np.sin(first + np.arange(count)), 3))
