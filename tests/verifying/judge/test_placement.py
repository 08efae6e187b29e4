"""Where nodes ran is read from a profile; a misplaced one fails the verification."""

from dataclasses import dataclass

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError, MisplacedError
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.placement import NodePlacement
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.report.text import placement_lines

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def anything(entry, feeds):
    batch, steps = feeds["x"].shape[:2]
    shapes = {"y": (batch, steps, 2), "first_h_out": (batch, 5), "second_h_out": (batch, 4)}
    return {t.name: np.zeros(shapes[t.name], np.float32) for t in entry.all_outputs}


@dataclass(frozen=True)
class OnCuda(FakeRuntime):
    """Says that its second RNN ran on the CPU."""

    name: str = "fake-cuda"
    provider: str = CUDA

    def placements(self, bundle, options):
        if options.entry == "sequence":
            raise InputError("E-TEST-NO-PROFILE", "there is no profile")
        return [
            NodePlacement("first/RNN", "RNN", CUDA),
            NodePlacement("second/RNN", "RNN", CPU),
            NodePlacement("third/MatMul", "MatMul", CUDA),
            NodePlacement("fourth/MatMul", "MatMul", CUDA),
            NodePlacement("shape", "Gather", CPU),
        ]


@dataclass(frozen=True)
class Refuses(FakeRuntime):
    name: str = "refuses"

    def load(self, bundle, options):
        raise MisplacedError("E-TEST-MISPLACED", "RNN 'rnn' on CPU")


def test_a_node_elsewhere_fails_and_is_named(small_bundle):
    report = verify(open_bundle(small_bundle), runtimes=[OnCuda(anything)], checks=["states"])
    assert not report.passed
    assert [
        (n.op_type, n.count, n.provider, n.requested, n.passed) for n in report.node_devices
    ] == [
        ("RNN", 1, CUDA, CUDA, True),
        ("RNN", 1, CPU, CUDA, False),
        ("MatMul", 2, CUDA, CUDA, True),
    ]
    messages = {(f.check, f.case): f.message for f in report.failed_checks}
    assert set(messages) == {("placement", "sequence"), ("placement", "stream")}
    assert "E-TEST-NO-PROFILE" in messages["placement", "sequence"]
    for word in ("'second/RNN'", CPU, CUDA):
        assert word in messages["placement", "stream"]
    (line,) = placement_lines(report)
    assert f"fake-cuda ran: 3 on {CUDA}, 1 on {CPU}" in line


def test_a_runtime_that_refuses_for_it_is_a_failed_check_and_the_rest_goes_on(small_bundle):
    runtimes = [Refuses(anything), runtime_named("ort-cpu")]
    report = verify(open_bundle(small_bundle), runtimes=runtimes)
    assert not report.passed
    (fault,) = report.failed_checks
    assert (fault.runtime, fault.check) == ("refuses", "placement")
    assert "RNN 'rnn' on CPU" in fault.message
    assert {c.runtime for c in report.comparisons} == {"ort-cpu"}


@pytest.mark.parametrize("time_limit", [None, 60])
def test_onnx_runtime_s_own_profile_shows_every_node(small_bundle, time_limit):
    runtimes = [runtime_named("ort-cpu"), runtime_named("litert")]
    report = verify(
        open_bundle(small_bundle), runtimes=runtimes, checks=["states"], time_limit=time_limit
    )
    assert report.passed
    assert {(n.runtime, n.provider) for n in report.node_devices} == {("ort-cpu", CPU)}
    counts = {(n.entry, n.op_type): n.count for n in report.node_devices}
    for entry in ("sequence", "stream"):
        assert (counts[entry, "RNN"], counts[entry, "MatMul"]) == (2, 1)
    assert [unknown.runtime for unknown in report.unknown_placements] == ["litert"]
    assert placement_lines(report)[-1].startswith("placement unknown: litert")


def test_openvino_tells_it_by_the_graph_it_made(small_bundle):
    runtimes = [runtime_named("openvino-cpu")]
    report = verify(open_bundle(small_bundle), runtimes=runtimes, checks=["states"])
    assert report.passed
    assert report.unknown_placements == ()
    assert {(n.provider, n.requested) for n in report.node_devices} == {("CPU", "CPU")}
    counts = {(n.entry, n.op_type): n.count for n in report.node_devices}
    assert [counts[entry, "RNNSeq"] for entry in ("sequence", "stream")] == [2, 2]
