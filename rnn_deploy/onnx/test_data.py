"""Golden vectors as ONNX test data, for tools that read the ONNX backend test layout.

    Case, ONNX model --> test_data/ENTRY/test_data_set_N/input_0.pb ... output_0.pb ...
                         test_data/ENTRY/model.onnx, the entry point's own file once more

Each file is a TensorProto named like the graph's input or output and numbered in the graph's
order; initial states are written out where they are zero. The outputs are TensorFlow's in float32.
The layout is that of onnx.backend.test (docs/OnnxBackendTest.md of ONNX).
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from rnn_deploy.bundle import Artifact, GoldenCase
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

FOLDER = "test_data"


@dataclass(frozen=True)
class DataFile:
    """One file of a data set: its path within the bundle, what it is called, its value."""

    path: str
    name: str
    value: Array


def write_test_data(
    root: Path,
    models: Mapping[str, ir.Model],
    entries: Sequence[EntryPoint],
    cases: Sequence[GoldenCase],
) -> list[str]:
    """Write the data sets of every ONNX entry point below `root`; return their paths."""
    files = [
        file
        for entry in entries
        if entry.name in models
        for file in _files(entry, models[entry.name], cases)
    ]
    for file in files:
        place = root / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        tensor = ir.tensor(np.ascontiguousarray(file.value), name=file.name)
        proto = ir.to_proto(tensor)
        place.write_bytes(proto.SerializeToString(deterministic=True))
    return [file.path for file in files]


def place_models(root: Path, artifacts: Sequence[Artifact]) -> list[str]:
    """Put each model beside its data sets, as the layout requires, with the weights that it reads.

    Return the paths. They are hard links if the file system has them.
    """
    paths = []
    for artifact in artifacts:
        folder = f"{FOLDER}/{artifact.entry}"
        if (root / folder).is_dir():
            paths.append(_linked(root, artifact.path, f"{folder}/model.onnx"))
            if artifact.weights is not None:
                paths.append(_linked(root, artifact.weights, f"{folder}/{artifact.weights}"))
    return paths


def _linked(root: Path, path: str, as_path: str) -> str:
    try:
        (root / as_path).hardlink_to(root / path)
    except OSError:
        shutil.copyfile(root / path, root / as_path)
    return as_path


def _files(entry: EntryPoint, model: ir.Model, cases: Sequence[GoldenCase]) -> Iterator[DataFile]:
    inputs = {tensor.name: tensor for tensor in entry.all_inputs}
    outputs = {tensor.name: tensor for tensor in entry.all_outputs}
    plain = [case for case in cases if entry.name in case.entries and not case.check]
    for number, case in enumerate(plain):
        folder = f"{FOLDER}/{entry.name}/test_data_set_{number}"
        for i, value in enumerate(model.graph.inputs):
            name = str(value.name)
            yield DataFile(f"{folder}/input_{i}.pb", name, _fed(inputs[name], case))
        for i, value in enumerate(model.graph.outputs):
            name = str(value.name)
            given = case.reference[name].astype(outputs[name].dtype)
            yield DataFile(f"{folder}/output_{i}.pb", name, given)


def _fed(tensor: TensorSpec, case: GoldenCase) -> Array:
    if tensor.name in case.feeds:
        return case.feeds[tensor.name].astype(tensor.dtype)
    batch = next(iter(case.feeds.values())).shape[0]
    return np.zeros([d if isinstance(d, int) else batch for d in tensor.shape], tensor.dtype)
