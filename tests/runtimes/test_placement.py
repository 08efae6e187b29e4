"""Which nodes are misplaced: in planted profiles, and in real ones whose nodes are moved."""

import dataclasses
from functools import cache

import keras
import onnxruntime
import pytest

from rnn_deploy import export
from rnn_deploy.bundle import open_bundle
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.onnxruntime import OrtRuntime, _golden_feeds
from rnn_deploy.runtimes.placement import NodePlacement, misplaced, placements, run_profiled
from tests.support.models import randomised

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def _event(node, op, provider, inputs=(), outputs=()):
    facts = {"op_name": op, "provider": provider}
    facts |= {"input_type_shape": list(inputs), "output_type_shape": list(outputs)}
    return {"name": f"{node}_kernel_time", "args": facts}


def test_each_node_of_a_profile_is_listed_once_and_the_rest_is_left_out():
    events = [
        {"name": "session_initialization", "args": {}},
        {"name": "model_run"},
        {"name": "rnn_fence_before", "args": {"op_name": "RNN"}},
        {"name": "rnn_kernel_time", "args": {"op_name": "RNN", "provider": CUDA}},
        _event("rnn", "RNN", CUDA, [{"float": [5, 2, 3]}], [{"float": [5, 1, 2, 4]}]),
        _event("rnn", "RNN", CUDA, [{"float": [5, 2, 3]}], [{"float": [5, 1, 2, 4]}]),
        _event("copy", "MemcpyToHost", CUDA),
    ]
    assert placements(events) == [
        NodePlacement("copy", "MemcpyToHost", CUDA),
        NodePlacement("rnn", "RNN", CUDA, (("float", (5, 1, 2, 4)), ("float", (5, 2, 3)))),
    ]


@pytest.mark.parametrize("op", ["RNN", "Scan", "Loop", "MatMul", "Gemm", "Tanh", "If", "Anything"])
def test_an_operator_that_is_not_on_the_list_must_not_be_elsewhere(op):
    there, elsewhere = NodePlacement("a", op, CUDA), NodePlacement("b", op, CPU)
    assert misplaced([there, elsewhere], CUDA) == [elsewhere]
    assert str(elsewhere) == f"{op} 'b' on {CPU}"


@pytest.mark.parametrize(
    ("op", "tensors", "allowed"),
    [
        ("Shape", (("float", (512, 100, 64)), ("int64", (3,))), True),
        ("Gather", (("int64", (3,)), ("int64", ())), True),
        ("Gather", (("float", (7, 64)), ("int64", (32, 10))), False),  # an Embedding
        ("Gather", (("int64", (32, 10)), ("int64", (1,))), False),
        ("Concat", (("int64", (1,)), ("int64", (2,))), True),
        ("Concat", (("float", (2, 3)),), False),
        ("Concat", (("float", (3,)),), False),
        ("Range", (("int64", ()), ("int64", (16,))), True),
        ("Range", (("int64", ()), ("int64", (17,))), False),
        ("Slice", (("int64", (3,)), ("int64", (1,))), True),
        ("Cast", (("int64", (2,)), ("float", (2,))), False),
        ("Less", (("float", ()), ("bool", ())), True),  # the condition of a Loop
        ("Add", (("int32", (4, 5)),), False),
        ("ConstantOfShape", (("int64", (2,)), ("float", (2, 128))), False),
        ("MatMul", (("int64", (2,)),), False),
    ],
)
def test_shape_arithmetic_is_known_by_operator_type_and_size(op, tensors, allowed):
    node = NodePlacement("n", op, CPU, tensors)
    assert node.is_shape_arithmetic is allowed
    assert misplaced([node], CUDA) == ([] if allowed else [node])
    assert misplaced([dataclasses.replace(node, provider=CUDA)], CUDA) == []


def test_one_large_run_of_a_node_is_enough():
    small, large = ([{"int64": [2]}], [{"int64": [2]}]), ([{"int64": [99]}], [{"int64": [99]}])
    (node,) = placements([_event("n", "Add", CPU, *small), _event("n", "Add", CPU, *large)])
    assert misplaced([node], CUDA) == [node]


def test_a_node_that_ran_on_both_is_misplaced():
    found = placements([_event("rnn", "RNN", CUDA), _event("rnn", "RNN", CPU)])
    assert misplaced(found, CUDA) == [NodePlacement("rnn", "RNN", CPU)]


def _model(*, masked):
    x = keras.Input((None, 3), name="x")
    y = keras.layers.Masking()(x) if masked else x
    y = keras.layers.LSTM(4, return_sequences=True, name="rnn")(y)
    return randomised(keras.Model(x, keras.layers.Dense(2, name="y")(y), name="masked"))


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """Profile a model in one lowering on the CPU: its nodes."""

    @cache
    def exported(lowering, masked):
        place = tmp_path_factory.mktemp("placed") / "b"
        time = 4 if lowering == "unrolled" else None
        options = {"lowering": lowering, "time": time, "long": 0}
        return open_bundle(export(_model(masked=masked), place, to=("onnx",), **options).root)

    def profiled(lowering, name):
        bundle = exported(lowering, name != "step")  # a masked layer has no form for one step

        def session(**extra):
            settings = onnxruntime.SessionOptions()
            for key, value in extra.items():
                setattr(settings, key, value)
            place = str(bundle.root / f"{name}.onnx")
            return onnxruntime.InferenceSession(place, settings, providers=[CPU])

        entry = "stream" if name == "step" else name
        feeds = _golden_feeds(bundle, bundle.manifest.entry(entry))
        if name == "step":
            feeds = {key: v[:, :1] if v.ndim == 3 else v for key, v in feeds.items()}
        return run_profiled(session, feeds)

    return profiled


@pytest.mark.parametrize(
    ("lowering", "name", "computes"),
    [
        ("native", "sequence", {"LSTM"}),
        ("scan", "sequence", {"Scan", "MatMul", "Tanh", "Sigmoid"}),
        ("scan", "stream", {"Scan", "MatMul", "Tanh", "Sigmoid"}),
        ("unrolled", "sequence", {"Tanh", "Sigmoid"}),
        ("auto", "step", {"Tanh", "Sigmoid"}),
    ],
)
def test_in_a_real_graph_every_node_but_shape_arithmetic_is_checked(
    profile, lowering, name, computes
):
    nodes = profile(lowering, name)
    assert misplaced(nodes, CPU) == []
    flagged = misplaced(nodes, CUDA)
    assert computes <= {node.op_type for node in flagged}
    assert not computes & {node.op_type for node in nodes if node not in flagged}
    floats = [n for n in nodes if any(t == "float" and dims for t, dims in n.tensors)]
    assert {n.node for n in floats if n.op_type != "Shape"} <= {n.node for n in flagged}
    on_gpu = [dataclasses.replace(n, provider=CUDA) if n in flagged else n for n in nodes]
    assert misplaced(on_gpu, CUDA) == []
    for index, node in enumerate(on_gpu):
        if node.provider == CUDA:  # any one that is moved back is found
            moved = [*on_gpu[:index], nodes[index], *on_gpu[index + 1 :]]
            assert misplaced(moved, CUDA) == [nodes[index]]


def test_profiling_leaves_no_file_behind(small_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    OrtRuntime("as-cuda", CPU)._prove_placement(open_bundle(small_bundle), RunOptions())
    assert sorted(tmp_path.rglob("*")) == before
