"""A draft written to a folder: artifacts, golden vectors, proof, and the manifest last."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx_ir as ir

from rnn_deploy.bundle import Artifact, Manifest, write_cases
from rnn_deploy.bundle.manifest import Quantisation, json_from_manifest
from rnn_deploy.bundle.proof import PROOF, write_proof
from rnn_deploy.bundle.store import MANIFEST, record_of
from rnn_deploy.exporting.draft import Draft
from rnn_deploy.exporting.options import MICRO
from rnn_deploy.onnx.test_data import place_models, write_test_data
from rnn_deploy.tflite.micro.files import MicroFile
from rnn_deploy.tflite.micro.source import HEADER, SOURCE, array_name, header_of, source_of
from rnn_deploy.tflite.quantise.quantise import QuantisedFile

GOLDEN = "golden.npz"
WEIGHTS = "weights.bin"
# Below this many bytes of weights, two self-contained ONNX files are worth more than the space.
SHARE_FROM = 256 * 1024
TOOLS = ("rnn-deploy", "tensorflow", "keras", "tf2onnx", "onnx", "onnx-ir")


def write(draft: Draft, root: Path, test_data: bool | None) -> Manifest:
    artifacts = list(_write_onnx(draft, root))
    if draft.tflite_model is not None:
        content, parts = draft.tflite_model
        (root / "model.tflite").write_bytes(content)
        artifacts += [Artifact("model.tflite", "tflite", p.entry.name, p.choices) for p in parts]
    artifacts += _write_micro(draft, root)
    write_cases(root / GOLDEN, draft.cases, draft.source.digest)
    write_proof(root / PROOF, draft.proof)
    models = {entry: model for entry, (model, _) in draft.onnx_models.items()}
    told = write_test_data(root, models, draft.entries, draft.cases, test_data)
    told += place_models(root, artifacts, told)
    paths = dict.fromkeys(
        path for a in artifacts for path in (a.path, a.weights) if path is not None
    )
    paths |= dict.fromkeys((HEADER, SOURCE) if draft.micro else ())
    manifest = Manifest(
        source=draft.source,
        entries=draft.entries,
        artifacts=tuple(artifacts),
        golden=GOLDEN,
        files=tuple(record_of(root, path) for path in (*paths, GOLDEN, PROOF, *told)),
        tools={name: version(name) for name in TOOLS},
        notes=(*draft.notes, *_notes_of_quantisation(draft)),
        state=draft.state,
        quantisation=_quantisation(draft),
    )
    write_manifest(manifest, root)
    return manifest


def write_manifest(manifest: Manifest, root: Path) -> None:
    (root / MANIFEST).write_text(json_from_manifest(manifest), encoding="utf-8")


def _write_micro(draft: Draft, root: Path) -> list[Artifact]:
    if not draft.micro:
        return []
    made_by = (draft.micro, draft.source.name, version("rnn-deploy"))
    (root / HEADER).write_text(header_of(*made_by), encoding="utf-8")
    (root / SOURCE).write_text(source_of(*made_by), encoding="utf-8")
    for file in draft.micro:
        (root / file.path).write_bytes(file.content)
    return [
        Artifact(file.path, MICRO, file.entry, file.choices, details=_details(file))
        for file in draft.micro
    ]


def _details(file: MicroFile) -> dict[str, Any]:
    return {
        "array": array_name(file.entry),
        "operators": list(file.operators),
        "arena": file.arena,  # bytes
    }


def _quantised(draft: Draft) -> list[QuantisedFile]:
    files = [file.quantised for file in draft.micro if file.quantised is not None]
    return files if draft.quantised is None else [draft.quantised]


def _notes_of_quantisation(draft: Draft) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for file in _quantised(draft) for note in file.notes))


def _quantisation(draft: Draft) -> Quantisation | None:
    made = _quantised(draft)
    if not made:
        return None
    rows = sum(len(next(iter(case.feeds.values()))) for case in draft.calibration)
    data = f" and {rows} sequences of calibration data" if rows else ""
    return Quantisation(
        MICRO if draft.micro else "tflite",
        made[0].mode,
        sum(file.recurrent for file in made),
        sum(file.recurrent_all for file in made),
        sum(file.weight_bytes for file in made),
        sum(file.float_bytes for file in made),
        f"{len(draft.cases)} golden vectors{data}",
    )


def _write_onnx(draft: Draft, root: Path) -> Iterator[Artifact]:
    models = [model for model, _ in draft.onnx_models.values()]
    weights = WEIGHTS if _share_weights(models, root) else None
    for entry, (model, choices) in draft.onnx_models.items():
        path = f"{entry}.onnx"
        (root / path).write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
        yield Artifact(path, "onnx", entry, choices, weights)


def _share_weights(models: Sequence[ir.Model], root: Path) -> bool:
    """Move the large weights of several models to one file; equal ones are stored once."""
    values = [v for model in models for v in model.graph.initializers.values()]
    large = [v for v in values if v.const_value is not None and v.const_value.nbytes >= 1024]
    if len(models) < 2 or sum(v.const_value.nbytes for v in large) < 2 * SHARE_FROM:
        return False
    by_content: dict[bytes, list[ir.Value]] = {}
    for value in large:
        by_content.setdefault(value.const_value.tobytes(), []).append(value)
    tensors = [same[0].const_value for same in by_content.values()]
    moved = ir.external_data.convert_tensors_to_external(tensors, root, WEIGHTS)
    for same, tensor in zip(by_content.values(), moved, strict=True):
        for value in same:
            value.const_value = tensor
    return True
