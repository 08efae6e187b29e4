import onnxruntime
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.onnxruntime import OrtRuntime, _golden_feeds
from rnn_deploy.runtimes.placement import NodePlacement, misplaced, placements, run_profiled

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def _event(node, op, provider):
    return {"name": f"{node}_kernel_time", "args": {"op_name": op, "provider": provider}}


def test_each_node_of_a_profile_is_listed_once_and_the_rest_is_left_out():
    events = [
        {"name": "session_initialization", "args": {}},
        {"name": "model_run"},
        {"name": "rnn_fence_before", "args": {"op_name": "RNN"}},
        _event("rnn", "RNN", CUDA),
        _event("rnn", "RNN", CUDA),
        _event("copy", "MemcpyToHost", CUDA),
    ]
    found = placements(events)
    assert found == [NodePlacement("copy", "MemcpyToHost", CUDA), NodePlacement("rnn", "RNN", CUDA)]


@pytest.mark.parametrize("op", ["RNN", "Scan", "Loop"])
def test_only_recurrent_nodes_elsewhere_are_misplaced(op):
    there, elsewhere = NodePlacement("a", op, CUDA), NodePlacement("b", op, CPU)
    beside = NodePlacement("shape", "Gather", CPU)
    assert misplaced([there, elsewhere, beside], CUDA) == [elsewhere]
    assert str(elsewhere) == f"{op} 'b' on {CPU}"


def test_a_node_that_ran_on_both_is_misplaced():
    found = placements([_event("rnn", "RNN", CUDA), _event("rnn", "RNN", CPU)])
    assert misplaced(found, CUDA) == [NodePlacement("rnn", "RNN", CPU)]


def test_a_real_profile_names_every_recurrent_node_and_where_it_ran(small_bundle):
    def session(**extra):
        settings = onnxruntime.SessionOptions()
        for name, value in extra.items():
            setattr(settings, name, value)
        place = str(small_bundle / "stream.onnx")
        return onnxruntime.InferenceSession(place, settings, providers=[CPU])

    bundle = open_bundle(small_bundle)
    nodes = run_profiled(session, _golden_feeds(bundle, bundle.manifest.entry("stream")))
    assert [node.op_type for node in nodes].count("RNN") == 2
    assert misplaced(nodes, CPU) == []
    assert len(misplaced(nodes, CUDA)) == 2


def test_profiling_leaves_no_file_behind(small_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    bundle = open_bundle(small_bundle)
    entry = bundle.manifest.entry("sequence")
    place = str(small_bundle / "sequence.onnx")
    OrtRuntime("as-cuda", CPU)._prove_placement(bundle, place, entry, RunOptions())
    assert sorted(tmp_path.rglob("*")) == before
