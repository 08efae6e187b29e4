"""Write the files beside the model files: golden vectors, proof, and last the manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from rnn_deploy.bundle import Artifact, GoldenCase, Manifest, write_cases
from rnn_deploy.bundle.attachments import Attachments, write_attachments
from rnn_deploy.bundle.manifest import Extension, ModelSource, Quantisation, json_from_manifest
from rnn_deploy.bundle.proof import PROOF, Proof, write_proof
from rnn_deploy.bundle.store import MANIFEST, record_of
from rnn_deploy.bundle.weights import EXTENSION, digests_of, mapped
from rnn_deploy.formats.base import Format, FormatFiles
from rnn_deploy.spec import DECODE, ENCODE, EntryPoint

GOLDEN = "golden.npz"
TOOLS = ("rnn-deploy", "tensorflow", "keras")


@dataclass(frozen=True)
class BundleContent:
    """The content of a bundle besides the files of its formats."""

    source: ModelSource
    entries: tuple[EntryPoint, ...]
    cases: Sequence[GoldenCase]
    notes: tuple[str, ...]
    state: str = "input"
    calibration: Sequence[GoldenCase] = ()
    evaluation: Sequence[GoldenCase] = ()
    proof: Proof = field(default_factory=Proof)
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    attachments: Attachments = field(default_factory=Attachments)


def write(
    content: BundleContent, written: Sequence[tuple[Format, FormatFiles]], root: Path
) -> Manifest:
    """Write the rest of a bundle after its formats; return its manifest."""
    artifacts = tuple(artifact for _, files in written for artifact in files.artifacts)
    entries = _written_entries(content, artifacts)
    names = {entry.name for entry in entries}
    cases = [case for case in content.cases if names.issuperset(case.entries)]
    write_cases(root / GOLDEN, cases, content.source.digest)
    write_proof(root / PROOF, content.proof)
    models = (path for a in artifacts for path in (a.path, a.weights) if path is not None)
    extra = (path for _, files in written for path in files.extra)
    packages = (name.replace("_", "-") for format, _ in written for name in format.packages)
    notes = [note for _, files in written for note in files.notes]
    notes += _without_halves(content, written)
    manifest = Manifest(
        source=content.source,
        entries=entries,
        artifacts=artifacts,
        golden=GOLDEN,
        files=tuple(
            record_of(root, path) for path in dict.fromkeys((*models, *extra, GOLDEN, PROOF))
        ),
        tools={name: version(name) for name in (*TOOLS, *packages)},
        notes=tuple(dict.fromkeys((*content.notes, *notes))),
        state=content.state,
        quantisation=_quantisation(content, [files for _, files in written]),
        extensions={
            **content.extensions,
            **{
                format.name: files.extension
                for format, files in written
                if files.extension is not None
            },
            EXTENSION: Extension(digests_of(artifacts, lambda path: mapped(root / path))),
        },
    )
    manifest = write_attachments(content.attachments, manifest, root)
    write_manifest(manifest, root)
    return manifest


def _without_halves(
    content: BundleContent, written: Sequence[tuple[Format, FormatFiles]]
) -> list[str]:
    """Return a note for each format without encode and decode, if the model has them."""
    if ENCODE not in {entry.name for entry in content.entries}:
        return []
    return [
        f"the {format.name} files lack the entry points encode and decode; to generate sequences,"
        " use the files of another format, or export without --quantize"
        for format, files in written
        if ENCODE not in {artifact.entry for artifact in files.artifacts}
    ]


def _written_entries(
    content: BundleContent, artifacts: Sequence[Artifact]
) -> tuple[EntryPoint, ...]:
    """Return the entry points; encode and decode only if a format wrote them."""
    written = {artifact.entry for artifact in artifacts}
    return tuple(e for e in content.entries if e.name not in (ENCODE, DECODE) or e.name in written)


def write_manifest(manifest: Manifest, root: Path) -> None:
    """Write the manifest, which makes the folder a bundle."""
    (root / MANIFEST).write_text(json_from_manifest(manifest), encoding="utf-8")


def _quantisation(content: BundleContent, written: Sequence[FormatFiles]) -> Quantisation | None:
    found = [files.quantisation for files in written if files.quantisation is not None]
    if not found:
        return None
    data = [f"{len(content.cases)} golden vectors"]
    if content.calibration:
        data.append(f"{rows_of(content.calibration)} sequences of calibration data")
    if content.evaluation:
        data.append(f"{rows_of(content.evaluation)} held-out sequences")
    return replace(found[0], measured_on=" and ".join(data))


def rows_of(cases: Sequence[GoldenCase]) -> int:
    """Return the number of sequences in all cases."""
    return sum(len(next(iter(case.feeds.values()))) for case in cases)
