"""The faults that can be planted in a TFLite file itself: found there, and called by name."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import record_of
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.diagnose.inner_tflite import packed
from tests.support.weight_faults import WEIGHTS, bfloat16, moved_gates


def stored(layer, name):
    """A weight as it lies in the file, gates below each other."""
    value = getattr(layer, name).astype(np.float32)
    return np.ascontiguousarray(value.T).tobytes()


def with_weights(layer, **changed):
    """Put weights in the place of the layer's own."""

    def plant(content):
        spoiled = replace(layer, **changed)
        for name in changed:
            assert stored(layer, name) in content
            content = content.replace(stored(layer, name), stored(spoiled, name))
        return content

    return plant


def stale(content):
    """The signature hands out the GRU's state as it came in."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for signature in model.signatureDefs:
        entering = {mapping.name: mapping.tensorIndex for mapping in signature.inputs}
        graph = model.subgraphs[signature.subgraphIndex]
        for mapping in signature.outputs:
            if mapping.name == b"gru_h_out":
                outputs = list(graph.outputs)
                outputs[outputs.index(mapping.tensorIndex)] = entering[b"gru_h_in"]
                graph.outputs, mapping.tensorIndex = outputs, entering[b"gru_h_in"]
    return packed(model)


def one_bit(kernel):
    spoiled = kernel.astype(np.float32)
    spoiled.view(np.uint32)[1, 6] ^= np.uint32(1 << 21)
    return spoiled


FAULTS = {
    "gates": (
        lambda g: with_weights(g.lstm, **moved_gates(g.lstm, (1, 0, 2, 3))),
        "lstm", "gates i and f are swapped",
    ),
    "bias": (
        lambda g: with_weights(g.lstm, bias=np.zeros_like(g.lstm.bias)),
        "lstm", "the bias is missing",
    ),
    "stale state": (lambda g: stale, "gru", "the state is stale"),
    "bfloat16": (
        lambda g: with_weights(g.lstm, **{n: bfloat16(getattr(g.lstm, n)) for n in WEIGHTS}),
        "lstm", "the weights are bfloat16, cut",
    ),
    "one bit": (
        lambda g: with_weights(g.gru, kernel=one_bit(g.gru.kernel)),
        "gru", "one weight differs in one bit: kernel[1, 6] is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_file_is_found_and_named(
    fault, gated, gated_bundle, gated_at_hand, tmp_path
):
    plant, layer, name = FAULTS[fault]
    root = shutil.copytree(gated_bundle.root, tmp_path / "spoiled")
    content = (root / "model.tflite").read_bytes()
    (root / "model.tflite").write_bytes(plant(gated)(content))
    manifest = gated_bundle.manifest
    files = tuple(record_of(root, record.path) for record in manifest.files)
    (root / "manifest.json").write_text(json_from_manifest(replace(manifest, files=files)))
    report = verify(
        open_bundle(root),
        runtimes=[runtime_named("litert")],
        checks=("states", "teacher-forced"),
        original=gated_at_hand.original,
        time_limit=None,
    )
    assert {finding.layer for finding in report.findings} == {layer}
    assert any(name in finding.fault for finding in report.findings)
    first = report.findings[0].by_layer
    # A stale state leaves the outputs of the call as they are.
    assert (f"'{layer}' is the first whose output differs" in first) is (fault != "stale state")
