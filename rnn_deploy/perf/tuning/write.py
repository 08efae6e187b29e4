"""Write the tuned bundle: a copy of the bundle, the chosen variants, and the plan."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rnn_deploy.bundle import Artifact, Bundle, open_bundle, writing_bundle
from rnn_deploy.bundle.manifest import Extension, json_from_manifest
from rnn_deploy.bundle.plan import TunedPlan
from rnn_deploy.bundle.store import MANIFEST, record_of
from rnn_deploy.bundle.weights import EXTENSION, digests_of, mapped
from rnn_deploy.runtimes.base import step_beside

VARIANTS = "variants"


def variant_path(name: str, path: str) -> str:
    """Return the path in the tuned bundle of the artifact `path` of the candidate `name`."""
    return f"{VARIANTS}/{name}/{path}"


def write(
    bundle: Bundle, variants: Mapping[str, Bundle], plan: TunedPlan, output: Path, *, force: bool
) -> Bundle:
    """Write a copy of `bundle` with a plan, and the variants that the plan names."""
    manifest = bundle.manifest
    named = {rule.artifact for rule in plan.rules}
    with writing_bundle(output, force=force) as root:
        artifacts = [a for a in manifest.artifacts if not _is_variant(a.path)]
        for record in manifest.files:
            if not _is_variant(record.path):
                _write(bundle.read(record.path), root / record.path)
        for name, candidate in variants.items():
            for artifact in candidate.manifest.artifacts:
                if variant_path(name, artifact.path) not in named:
                    continue
                artifacts.append(_copy_artifact(name, candidate, artifact, root))
                one = step_beside(candidate, artifact)
                if one is not None:
                    artifacts.append(_copy_artifact(name, candidate, one, root))
        kept = (record.path for record in manifest.files if not _is_variant(record.path))
        named_by = (path for a in artifacts for path in (a.path, a.weights) if path is not None)
        files = tuple(record_of(root, path) for path in dict.fromkeys((*kept, *named_by)))
        digests = digests_of(artifacts, lambda path: mapped(root / path))
        extensions = {**manifest.extensions, EXTENSION: Extension(digests)}
        tuned = replace(
            manifest, artifacts=tuple(artifacts), files=files, plan=plan, extensions=extensions
        )
        (root / MANIFEST).write_text(json_from_manifest(tuned), encoding="utf-8")
    return open_bundle(output)


def _is_variant(path: str) -> bool:
    """Return whether a file belongs to the old plan, which is about to be replaced."""
    return path.startswith(f"{VARIANTS}/")


def _copy_artifact(name: str, candidate: Bundle, artifact: Artifact, root: Path) -> Artifact:
    weights = artifact.weights and variant_path(name, artifact.weights)
    path = variant_path(name, artifact.path)
    for source, place in ((artifact.path, path), (artifact.weights, weights)):
        if source is not None and place is not None:
            _write(candidate.read(source), root / place)
    return replace(artifact, path=path, weights=weights)


def _write(content: bytes, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
