"""The ONNX artifact itself: operators, names, sizes, and what is refused."""

import keras
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import tensorflow as tf

import rnn_deploy
from rnn_deploy.conformance.custom_cells import CELLS
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.onnx import writer as exporting
from rnn_deploy.onnx.activations import AS_ATTRIBUTE
from rnn_deploy.onnx.choice import choices_of
from rnn_deploy.onnx.format import request_from
from rnn_deploy.onnx.metadata import ModelMetadata
from rnn_deploy.references.reference import Reference
from rnn_deploy.references.samples import draw
from tests.support.activations import OF_KERAS_3
from tests.support.errors import raises
from tests.support.models import randomised, small_model

layers = keras.layers
TIGHT = 2e-6
OPERATORS = ("RNN", "GRU", "LSTM")


def model_of(*stack, time=None):
    x = y = keras.Input((time, 3), name="x")
    for layer in stack:
        y = layer(y)
    return randomised(keras.Model(x, y, name="mine"), scale=0.4)


def artifacts(model, lowering="auto", time=None):
    """Entry point and ONNX model by the entry point's name."""
    options = ExportOptions(lowering=lowering, time=time)
    plan = plan_of(model, options)
    label = ModelMetadata("test", layers=[layer.name for layer in model.layers])
    found = {}
    for traced in plan.traced:
        trace, entry = traced.trace, traced.entry
        choices = choices_of(trace.calls.values(), request_from(options), entry)
        converted = exporting.convert(trace)
        assembled = exporting.assemble(converted, trace.calls, choices, entry, label)
        found[entry.name] = (entry, ir.to_proto(assembled))
    return found


def operators(proto):
    return [node.op_type for node in proto.graph.node]


def differences(model, entry, proto, batch=2, time=4):
    """The largest difference of every output and state from the float64 reference."""
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = draw(entry.all_inputs, {"batch": batch, "time": time}, np.random.default_rng(3))
    names = [tensor.name for tensor in entry.all_outputs]
    found = dict(zip(names, session.run(names, feeds), strict=True))
    truth = Reference(model, entry, "float64").run(feeds)
    assert all(found[name].shape == truth[name].shape for name in names)
    assert all(np.isfinite(value).all() for value in found.values())
    return {name: np.abs(found[name] - truth[name]).max() for name in names}


def dense(**options):
    return layers.Dense(2, name="y", **options)


def rnn(name="rnn", **options):
    return layers.SimpleRNN(4, name=name, **options)


@pytest.mark.parametrize(
    "build",
    [
        lambda: rnn(),
        lambda: layers.RNN(layers.SimpleRNNCell(4), name="rnn"),
        lambda: rnn(go_backwards=True, return_sequences=True),
        lambda: layers.Bidirectional(rnn()),
    ],
    ids=["SimpleRNN", "RNN(SimpleRNNCell)", "go_backwards", "Bidirectional"],
)
def test_a_recurrent_layer_is_the_operator_rnn(build):
    for _, proto in artifacts(model_of(build())).values():
        assert "RNN" in operators(proto)
        assert not {"Loop", "Scan", "If"} & set(operators(proto))


@pytest.mark.parametrize(
    ("stack", "most"),
    [
        (lambda: (rnn(), dense()), 6),
        (lambda: (rnn(return_sequences=True), dense()), 6),
        (lambda: (*(rnn(f"r{i}", return_sequences=True) for i in range(3)), dense()), 10),
    ],
    ids=["last step", "sequence", "three stacked"],
)
def test_the_graph_holds_no_more_than_it_needs(stack, most):
    found = artifacts(model_of(*stack()))
    assert len(operators(found["sequence"][1])) <= most
    per_state = 2  # unsqueeze it on its way in, squeeze it on its way out
    assert len(operators(found["stream"][1])) <= most + per_state * len(found["stream"][0].states)


@pytest.mark.parametrize("lowering", ["scan", "unrolled"])
def test_the_same_cells_of_one_s_own_give_the_same_bytes(lowering, tmp_path):
    """tf2onnx counts the names that it makes up on and on."""
    x = keras.Input((3, 2), name="x")
    steps = layers.RNN(CELLS["echo"](3), return_sequences=True, name="first")(x)
    model = keras.Model(x, layers.RNN(CELLS["peephole"](4), name="second")(steps))
    randomised(model)
    found = []
    for name in ("a", "b"):
        options = {"to": "onnx", "lowering": lowering, "long": 0}
        root = rnn_deploy.export(model, tmp_path / name, **options).root
        found.append({path.name: path.read_bytes() for path in root.iterdir() if path.is_file()})
    assert found[0] == found[1]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
def test_nothing_but_a_transposition_reads_what_an_operator_gives(kind, masked):
    """Else OpenVINO mixes up the rows of what another layer reads, where the length is fixed."""
    recurrent = getattr(layers, kind)
    x = keras.Input((7, 3), name="x")
    steps = layers.Masking()(x) if masked else x
    first = recurrent(4, return_sequences=True, go_backwards=True)(steps)
    second = recurrent(3, return_sequences=True)(first)
    model = keras.Model(x, [first, second, recurrent(5, return_sequences=True)(steps)])
    for _, proto in artifacts(randomised(model), "native").values():
        recurrent_outputs = [n.output[0] for n in proto.graph.node if n.op_type in OPERATORS]
        assert len(recurrent_outputs) == 3
        for output in recurrent_outputs:
            (reader,) = (node for node in proto.graph.node if output in node.input)
            assert reader.op_type == "Transpose"
            assert list(reader.attribute[0].ints) == [2, 0, 1, 3]


@pytest.mark.parametrize("entry", ["sequence", "stream"])
def test_names_shapes_and_versions_are_as_promised(entry):
    _, proto = artifacts(small_model())[entry]
    inputs, outputs = (
        {
            value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in values
        }
        for values in (proto.graph.input, proto.graph.output)
    )
    states = {"first": ["batch", 5], "second": ["batch", 4]} if entry == "stream" else {}
    assert inputs == {"x": ["batch", "time", 3]} | {f"{n}_h_in": s for n, s in states.items()}
    assert outputs == {"y": ["batch", "time", 2]} | {f"{n}_h_out": s for n, s in states.items()}
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 17)]
    assert proto.ir_version == 8
    assert (proto.producer_name, proto.producer_version) == ("rnn_deploy", "test")
    onnx.checker.check_model(proto, full_check=True)
    names = [node.name for node in proto.graph.node]
    assert len(set(names)) == len(names)
    assert "first/RNN" in names


def test_the_same_model_gives_the_same_bytes():
    def content(seed):
        found = artifacts(small_model(seed))
        return {
            name: proto.SerializeToString(deterministic=True) for name, (_, proto) in found.items()
        }

    first = content(0)
    assert first == content(0)
    other = content(1)
    assert all(first[entry] != other[entry] for entry in ("sequence", "stream"))


@pytest.mark.parametrize("lowering", ["native", "scan", "unrolled"])
@pytest.mark.parametrize("activation", OF_KERAS_3)
def test_every_activation_in_every_lowering_is_the_original_s(activation, lowering):
    if lowering == "native" and activation not in AS_ATTRIBUTE:
        pytest.skip("the operator RNN has no such activation")
    model = model_of(rnn(activation=activation, return_sequences=True))
    entry, proto = artifacts(model, lowering, 4 if lowering == "unrolled" else None)["sequence"]
    assert max(differences(model, entry, proto).values()) <= TIGHT


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("backwards", [True, False])
@pytest.mark.parametrize("lowering", ["native", "scan", "unrolled"])
def test_direction_and_form_of_output_in_every_lowering(lowering, backwards, sequences):
    layer = rnn(go_backwards=backwards, return_sequences=sequences, use_bias=sequences)
    model = model_of(layer)
    found = artifacts(model, lowering, 4 if lowering == "unrolled" else None)
    for entry, proto in found.values():
        errors = differences(model, entry, proto)
        assert set(errors) == {tensor.name for tensor in entry.all_outputs}
        assert max(errors.values()) <= TIGHT
    operator = {"native": "RNN", "scan": "Scan", "unrolled": "Gemm"}[lowering]
    assert operator in operators(found["sequence"][1])


def test_a_transposed_weight_would_show_in_output_and_state():
    model = model_of(rnn(return_sequences=True))
    entry, proto = artifacts(model)["stream"]
    for tensor in proto.graph.initializer:
        if tensor.dims == [1, 4, 4]:
            value = onnx.numpy_helper.to_array(tensor).transpose(0, 2, 1).copy()
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    errors = differences(model, entry, proto)
    assert set(errors) == {"rnn", "rnn_h_out"}
    assert min(errors.values()) > 1e-3


def test_time_fixed_by_the_user_fixes_the_sequence_only():
    found = artifacts(model_of(rnn(return_sequences=True)), time=6)
    assert found["sequence"][0].inputs[0].shape == ("batch", 6, 3)
    assert found["sequence"][0].outputs[0].shape == ("batch", 6, 4)
    assert found["stream"][0].inputs[0].shape == ("batch", "time", 3)


def test_unrolled_has_a_step_for_each_step_and_no_loop():
    found = artifacts(model_of(rnn()), "unrolled", time=7)
    assert operators(found["sequence"][1]).count("Tanh") == 7
    assert "RNN" in operators(found["stream"][1])


def test_an_operator_without_onnx_form_is_refused():
    model = model_of(rnn(), dense(activation=tf.math.digamma))
    with raises(UnsupportedModelError, "E-MODEL-OPERATOR", "Digamma"):
        artifacts(model)


def parsed(text):
    return ir.from_proto(onnx.parser.parse_model(text))


def test_inputs_are_put_in_order_and_missing_ones_named():
    model = parsed(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N] a, float[N] b) => (float[N] c)'
        " { c = Sub(a, b) }"
    )
    exporting.order_inputs(model, ["b", "a"])
    assert [value.name for value in model.graph.inputs] == ["b", "a"]
    with raises(UnsupportedModelError, "E-MODEL-UNUSED-INPUT", "input z"):
        exporting.order_inputs(model, ["z", "a"])


def test_operators_of_unknown_domains_are_refused():
    model = parsed(
        '<ir_version: 8, opset_import: ["" : 17, "own" : 1]> g (float[N] a) => (float[N] b)'
        " { c = own.Mystery(a) b = Relu(c) }"
    )
    with raises(UnsupportedModelError, "E-MODEL-OPERATOR", "Mystery"):
        exporting.refuse_unknown_operators(model)


class Choosing(layers.Layer):
    """What is not chosen is NaN or infinite: of steps that do not count, and of negatives."""

    def call(self, x):
        ops = keras.ops
        count = ops.sum(ops.cast(x > 0, x.dtype), axis=1, keepdims=True)
        mean = ops.where(count > 0, ops.sum(ops.relu(x), axis=1, keepdims=True) / count, 0.0)
        return mean + ops.where(x > 0, ops.log(x), 0.0) + ops.where(x != 0, ops.sign(x) / x, 7.0)


def test_what_is_not_chosen_leaves_no_trace():
    model = model_of(Choosing(), rnn(return_sequences=True))
    entry, proto = artifacts(model)["sequence"]
    x = np.array([[[0, 1, -2], [-1, 2, 0]], [[0, -1, 0], [-3, 0, -1]]], np.float32)
    expected = Reference(model, entry, "float64").run({"x": x})
    assert np.isfinite(expected["rnn"]).all()
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": x})
    np.testing.assert_allclose(found, expected["rnn"], rtol=0, atol=TIGHT)


class Dividing(layers.Layer):
    """Quotients and remainders of whole numbers, and of others."""

    def call(self, x):
        whole = keras.ops.cast(x, "int32")
        parts = [whole // 3, whole % 3, whole // -2, whole % -2]
        return keras.ops.concatenate([*(keras.ops.cast(p, x.dtype) for p in parts), x % 3], -1)


def test_negative_whole_numbers_are_divided_downwards():
    model = model_of(Dividing(), layers.SimpleRNN(4, return_sequences=True, name="rnn"))
    entry, proto = artifacts(model)["sequence"]
    x = np.array([[[-7, 7, -6], [5, -5, 0], [-1, 1, 2]]], np.float32)
    expected = Reference(model, entry, "float64").run({"x": x})
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": x})
    np.testing.assert_allclose(found, expected["rnn"], rtol=0, atol=TIGHT)


class Conditional(layers.Layer):
    """Calls its recurrent layer in a branch."""

    def __init__(self):
        super().__init__(name="conditional")
        self.inner = rnn()

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: self.inner(x), lambda: 2 * self.inner(x))

    def compute_output_shape(self, shape):
        return (shape[0], 4)


def test_a_recurrent_layer_in_a_condition_is_refused():
    model = model_of(Conditional())
    with raises(UnsupportedModelError, "E-MODEL-INNER-LAYER", "'rnn'"):
        plan_of(model, ExportOptions())  # before TensorFlow looks for states that it cannot reach


def test_an_unknown_lowering_is_a_mistake_of_the_user():
    with raises(InputError, "E-EXPORT-LOWERING-UNKNOWN", "fused"):
        artifacts(small_model(), "fused")


@pytest.mark.parametrize("lowering", ["auto", "scan"])
def test_a_bidirectional_layer_called_twice_has_its_weights_once(tmp_path, lowering):
    a, b = keras.Input((None, 5), name="a"), keras.Input((None, 5), name="b")
    both = layers.Bidirectional(layers.LSTM(3), name="enc")
    named_alike = layers.GRU(3, name="enc_2")(a)
    model = randomised(keras.Model([a, b], layers.Concatenate()([both(a), both(b), named_alike])))
    bundle = rnn_deploy.export(model, tmp_path / "b", to="onnx", lowering=lowering, long=0)
    rng = np.random.default_rng(2)
    feeds = {name: rng.standard_normal((2, n, 5)).astype("f") for name, n in (("a", 4), ("b", 6))}
    found = rnn_deploy.load(bundle).predict(feeds)
    np.testing.assert_allclose(found, np.asarray(model(list(feeds.values()))), atol=2e-6)
    if lowering == "auto":
        file = onnx.load(bundle.root / "sequence.onnx")
        kernels = [w for w in file.graph.initializer if tuple(w.dims) == (2, 12, 5)]
        assert len(kernels) == 1
