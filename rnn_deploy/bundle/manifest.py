"""The manifest: the contents of a bundle, as frozen values, to and from JSON.

docs/reference/bundle.md specifies its JSON form. Paths are relative to the bundle, with "/".

Two places are for data of a format or a feature, so that this module names none of them:

    Artifact.details   facts about one model file, such as the memory that it needs. The format
                       chooses the names. `inspect` and `export` print them as they are.
    extensions         data about the whole bundle, by the name of the format or feature that wrote
                       it. A reader ignores extensions that it does not know. If the bundle is
                       wrong without one, the writer marks it `required`: readers that do not
                       understand it refuse the bundle.

Both hold plain JSON values (dict, list, str, int, float, bool, None). New features go there; a new
field anywhere else needs a new schema version and a step in `versions.py`.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_deploy.bundle.decoding import decoded
from rnn_deploy.bundle.plan import TunedPlan
from rnn_deploy.bundle.versions import SCHEMA_VERSION, refuse_other_versions, upgraded
from rnn_deploy.errors import BundleError
from rnn_deploy.spec import EntryPoint

# The required extensions that this version understands.
UNDERSTOOD: frozenset[str] = frozenset({"attachments"})
# The extension that lists the layers whose dropout `export --dropout off` left out.
DROPOUT_OFF = "dropout-off"


@dataclass(frozen=True)
class LoweringChoice:
    """How one recurrent layer was lowered in one artifact, and why.

    not_on: runtimes that are known to get this form wrong.
    """

    layer: str
    cell: str
    units: int
    lowering: str
    reason: str
    not_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileRecord:
    """One file of the bundle: its place, its size in bytes, its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """One model file as one entry point.

    weights: a file beside it that it reads. details: facts that only its format uses, by name, as
    JSON values.
    """

    path: str
    format: str
    entry: str
    choices: tuple[LoweringChoice, ...]
    weights: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QuantisationError:
    """The error that quantisation caused in one output or state, against the oracle.

    kind: "output" or "state". snr_db: signal-to-noise ratio; None if nothing changed. max_abs: the
    largest error. labels: the number of labels in an output that may hold classes (last axis wider
    than one). labels_changed: how many of them now have their largest value elsewhere.
    """

    tensor: str
    kind: str
    snr_db: float | None
    max_abs: float
    labels: int = 0
    labels_changed: int = 0


@dataclass(frozen=True)
class Quantisation:
    """How the artifacts of `format` were quantised, and the errors that this caused.

    recurrent: how many of the `recurrent_all` different recurrent weights are quantised.
    weight_bytes, float_bytes: of all weights, now and in float32. measured_on: the data, in words.
    """

    format: str
    mode: str
    recurrent: int
    recurrent_all: int
    weight_bytes: int
    float_bytes: int
    measured_on: str = ""
    costs: tuple[QuantisationError, ...] = ()


@dataclass(frozen=True)
class Extension:
    """Data of one format or feature. required: a reader that does not understand it must refuse."""

    data: Any
    required: bool = False


@dataclass(frozen=True)
class ModelSource:
    """The source of the bundle. digest: SHA-256 of the weights, by name, shape and value."""

    kind: str
    name: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The contents of a bundle.

    golden: the path of the golden vectors; notes: what a user must know; state: how states were
    exported, "input", "reset" or "keep"; plan: what `tune` found, if it was run.
    quantisation: None if all weights are float32. extensions: further data, by the name of its
    format or feature.
    """

    source: ModelSource
    entries: tuple[EntryPoint, ...]
    artifacts: tuple[Artifact, ...]
    golden: str
    files: tuple[FileRecord, ...]
    tools: dict[str, str]
    notes: tuple[str, ...] = ()
    state: str = "input"
    plan: TunedPlan | None = None
    quantisation: Quantisation | None = None
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def entry(self, name: str) -> EntryPoint:
        """Return the entry point called `name`; raise BundleError with the known names."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        there = ", ".join(entry.name for entry in self.entries)
        why = f" ({'; '.join(self.notes)})" if self.notes else ""
        raise BundleError(
            "E-BUNDLE-NO-ENTRY", f"this bundle has no entry point '{name}', only {there}{why}"
        )

    def artifact(self, format: str, entry: str) -> Artifact | None:
        """Return the artifact of that format and entry point, if the bundle has one.

        This is the first one. Further ones are variants, which a plan names by path.
        """
        found = (a for a in self.artifacts if (a.format, a.entry) == (format, entry))
        return next(found, None)


def json_from_manifest(manifest: Manifest) -> str:
    """Return the manifest as JSON text; equal manifests give equal bytes."""
    return json.dumps(dataclasses.asdict(manifest), indent=1) + "\n"


def manifest_from_json(text: str | bytes, where: str = "manifest.json") -> Manifest:
    """Read the JSON text of a manifest, also of an older schema version.

    where: the file, for messages. Raises BundleError if it is damaged, newer than this rnn-deploy,
    or needs an extension that this rnn-deploy does not understand.
    """
    try:
        data = json.loads(text)
        version = data["schema_version"]
        if type(version) is not int:
            raise ValueError(f"schema_version is {version!r}, expected a whole number")
        refuse_other_versions(version, data, where)
        manifest = decoded(Manifest, upgraded(data), "the manifest")
        _check(manifest)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleError(
            "E-BUNDLE-DAMAGED",
            f"{where}: is damaged ({type(error).__name__}: {error}); copy the bundle again, or"
            " export the model again",
        ) from error
    _refuse_unknown_extensions(manifest, where)
    return manifest


def _refuse_unknown_extensions(manifest: Manifest, where: str) -> None:
    for name, extension in manifest.extensions.items():
        if extension.required and name not in UNDERSTOOD:
            writer = manifest.tools.get("rnn-deploy", "of unknown version")
            raise BundleError(
                "E-BUNDLE-EXTENSION",
                f"{where}: needs the extension '{name}', which this rnn-deploy does not understand;"
                f" rnn-deploy {writer} wrote it: install that version or a newer one",
            )


def _check(manifest: Manifest) -> None:
    """Raise ValueError for values that have the right type but cannot be right."""
    for entry in manifest.entries:
        if not entry.inputs or not entry.outputs:
            raise ValueError(f"entry point '{entry.name}' lacks inputs or outputs")
        for tensor in (*entry.all_inputs, *entry.all_outputs):
            if any(isinstance(dim, int) and not 0 <= dim < 2**31 for dim in tensor.shape):
                raise ValueError(f"tensor '{tensor.name}' has the shape {tensor.shape}")
            dtype = np.dtype(tensor.dtype)
            if dtype.kind not in "fiub" or dtype.name != tensor.dtype:
                raise ValueError(f"tensor '{tensor.name}' has the dtype {tensor.dtype!r}")
    for rule in manifest.plan.rules if manifest.plan else ():
        if min(rule.batch, rule.time) < 1:
            raise ValueError(f"a rule of the plan has the shape {rule.batch} x {rule.time}")
