"""Golden vectors as ONNX test data, for tools that read the ONNX backend test layout.

    Case, ONNX model --> test_data/ENTRY/test_data_set_N/input_0.pb ... output_0.pb ...
                         test_data/ENTRY/model.onnx, a copy of the entry point's file

Each file is a TensorProto, named like the graph's input or output and numbered in the graph's
order; initial states of zero are written too. The outputs are TensorFlow's in float32.
The layout is that of onnx.backend.test (docs/OnnxBackendTest.md of ONNX).
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from rnn_deploy.bundle import Artifact, GoldenCase
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

FOLDER = "test_data"


def write_test_data(
    root: Path,
    models: Mapping[str, ir.Model],
    entries: Sequence[EntryPoint],
    cases: Sequence[GoldenCase],
) -> list[str]:
    """Write the data sets of every ONNX entry point below `root`; return their paths."""
    paths = []
    for entry in entries:
        graph = models[entry.name].graph
        inputs = {tensor.name: tensor for tensor in entry.all_inputs}
        outputs = {tensor.name: tensor for tensor in entry.all_outputs}
        kinds = ("", "encode-decode")  # encode and decode have only cases of the second kind
        plain = [case for case in cases if entry.name in case.entries and case.check in kinds]
        for number, case in enumerate(plain):
            values = {
                f"input_{i}": (v, _fed(inputs[v.name], case)) for i, v in enumerate(graph.inputs)
            }
            values |= {
                f"output_{i}": (v, case.reference[v.name].astype(outputs[v.name].dtype))
                for i, v in enumerate(graph.outputs)
            }
            for file, (value, array) in values.items():
                path = f"{FOLDER}/{entry.name}/test_data_set_{number}/{file}.pb"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                proto = ir.to_proto(ir.tensor(np.ascontiguousarray(array), name=value.name))
                (root / path).write_bytes(proto.SerializeToString(deterministic=True))
                paths.append(path)
    return paths


def place_models(root: Path, artifacts: Sequence[Artifact]) -> list[str]:
    """Copy each model and its weights beside its data sets, as the layout requires.

    Return the paths.
    """
    paths: list[str] = []
    for artifact in artifacts:
        folder = f"{FOLDER}/{artifact.entry}"
        if (root / folder).is_dir():
            copies = {artifact.path: f"{folder}/model.onnx"}
            if artifact.weights is not None:
                copies[artifact.weights] = f"{folder}/{artifact.weights}"
            for path, copy in copies.items():
                shutil.copyfile(root / path, root / copy)
            paths += copies.values()
    return paths


def _fed(tensor: TensorSpec, case: GoldenCase) -> Array:
    if tensor.name in case.feeds:
        return case.feeds[tensor.name].astype(tensor.dtype)
    batch = next(iter(case.feeds.values())).shape[0]
    return np.zeros([d if isinstance(d, int) else batch for d in tensor.shape], tensor.dtype)
