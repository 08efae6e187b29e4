"""The manifest: what a bundle holds, as frozen values, to and from JSON.

Its JSON form is specified in docs/bundle.md. Paths are relative to the bundle, with "/".
"""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np

from rnn_deploy.bundle.decoding import decoded
from rnn_deploy.bundle.plan import TunedPlan
from rnn_deploy.errors import BundleError
from rnn_deploy.spec import EntryPoint

SCHEMA_VERSION = 2


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
    """One model file as one entry point; `weights` is a file beside it that it reads."""

    path: str
    format: str
    entry: str
    choices: tuple[LoweringChoice, ...]
    weights: str | None = None


@dataclass(frozen=True)
class QuantisationError:
    """What quantisation did to one output or state, against the oracle, on export.

    kind: "output" or "state". snr_db: signal-to-noise ratio, None where nothing changed. max_abs:
    the largest error. labels, labels_changed: of an output that may hold classes (last axis wider
    than one), how many there were and how many have their largest value elsewhere now.
    """

    tensor: str
    kind: str
    snr_db: float | None
    max_abs: float
    labels: int = 0
    labels_changed: int = 0


@dataclass(frozen=True)
class Quantisation:
    """How the artifacts of `format` were quantised, and what it cost.

    recurrent: how many of the `recurrent_all` different recurrent weights are quantised.
    weight_bytes, float_bytes: of all weights, now and in float32. measured_on: what data.
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
class MicroModel:
    """One file for microcontrollers.

    array: what it is called in model_data.h. operators: those its resolver must know. arena: bytes
    of memory it needs, measured in the real interpreter on x86-64.
    """

    entry: str
    array: str
    operators: tuple[str, ...]
    arena: int


@dataclass(frozen=True)
class ModelSource:
    """What the bundle was made from. digest: SHA-256 of the weights, by name, shape and value."""

    kind: str
    name: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds.

    golden: the path of the golden vectors; notes: what a user must know; state: what became of
    states on export, "input", "reset" or "keep"; plan: what `tune` found, if it was run.
    quantisation: None where all is in float32. micro: the files for microcontrollers; none in
    other bundles.
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
    micro: tuple[MicroModel, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def entry(self, name: str) -> EntryPoint:
        """The entry point called `name`; BundleError says which there are."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        there = ", ".join(entry.name for entry in self.entries)
        why = f" ({'; '.join(self.notes)})" if self.notes else ""
        raise BundleError(f"this bundle has no entry point '{name}', only {there}{why}")

    def artifact(self, format: str, entry: str) -> Artifact | None:
        """The artifact of that format and entry point, if the bundle has one.

        The first: those that follow are variants, which a plan names by path.
        """
        found = (a for a in self.artifacts if (a.format, a.entry) == (format, entry))
        return next(found, None)


def json_from_manifest(manifest: Manifest) -> str:
    """The manifest as JSON text; equal manifests give equal bytes."""
    return json.dumps(dataclasses.asdict(manifest), indent=1) + "\n"


def manifest_from_json(text: str) -> Manifest:
    """Read the JSON text of a manifest; BundleError says what is wrong with it."""
    try:
        data = json.loads(text)
        version = data["schema_version"]
        if type(version) is int and version == SCHEMA_VERSION:
            return _checked(decoded(Manifest, data, "the manifest"))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleError(
            f"manifest.json is damaged ({type(error).__name__}: {error}); export the model again"
        ) from error
    raise BundleError(
        f"manifest.json has schema version {version!r}, this rnn-deploy reads {SCHEMA_VERSION};"
        " export the model again, or use the rnn-deploy that made it"
    )


def _checked(manifest: Manifest) -> Manifest:
    """The manifest, if what types do not say of its values holds too; ValueError otherwise."""
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
            raise ValueError(f"a rule is of {rule.batch} x {rule.time}")
    for model in manifest.micro:
        if model.arena < 1:
            raise ValueError(f"the arena of '{model.entry}' is {model.arena}")
    return manifest
