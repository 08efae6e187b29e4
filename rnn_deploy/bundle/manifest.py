"""The manifest: what a bundle holds, as frozen values, to and from JSON.

Its JSON form is specified in docs/bundle.md. Paths are relative to the bundle, with "/".
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.bundle.plan import Plan, plan_from
from rnn_deploy.errors import BundleError
from rnn_deploy.spec import EntryPoint, StateSpec, Support, TensorSpec

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Choice:
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
    choices: tuple[Choice, ...]
    weights: str | None = None


@dataclass(frozen=True)
class Cost:
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
    costs: tuple[Cost, ...] = ()


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
class Source:
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

    source: Source
    entries: tuple[EntryPoint, ...]
    artifacts: tuple[Artifact, ...]
    golden: str
    files: tuple[FileRecord, ...]
    tools: dict[str, str]
    notes: tuple[str, ...] = ()
    state: str = "input"
    plan: Plan | None = None
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
            return _manifest(data)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleError(
            f"manifest.json is damaged ({type(error).__name__}: {error}); export the model again"
        ) from error
    raise BundleError(
        f"manifest.json has schema version {version!r}, this rnn-deploy reads {SCHEMA_VERSION};"
        " export the model again, or use the rnn-deploy that made it"
    )


def _manifest(data: dict[str, Any]) -> Manifest:
    return Manifest(
        source=Source(**data["source"]),
        entries=tuple(_entry(entry) for entry in data["entries"]),
        artifacts=tuple(_artifact(artifact) for artifact in data["artifacts"]),
        golden=data["golden"],
        files=tuple(_record(record) for record in data["files"]),
        tools=dict(data["tools"]),
        notes=tuple(data["notes"]),
        state=str(data["state"]),
        plan=plan_from(data["plan"]),
        quantisation=_quantisation(data["quantisation"]),
        micro=tuple(_micro(model) for model in data["micro"]),
    )


def _entry(data: dict[str, Any]) -> EntryPoint:
    return EntryPoint(
        name=data["name"],
        inputs=tuple(_tensor(tensor) for tensor in data["inputs"]),
        outputs=tuple(_tensor(tensor) for tensor in data["outputs"]),
        states=tuple(
            StateSpec(_tensor(s["tensor"]), s["next_name"], s["layer"], s["role"])
            for s in data["states"]
        ),
        chunked=Support(**data["chunked"]),
    )


def _tensor(data: dict[str, Any]) -> TensorSpec:
    shape, dtype = data["shape"], data["dtype"]
    if not isinstance(shape, list) or any(type(dim) not in (int, str) for dim in shape):
        raise ValueError(f"tensor '{data['name']}' has the shape {shape!r}")
    if not isinstance(dtype, str) or np.dtype(dtype).kind not in "fiub":
        raise ValueError(f"tensor '{data['name']}' has the dtype {dtype!r}")
    return TensorSpec(data["name"], tuple(shape), dtype, data["below"], data["padding"])


def _record(data: dict[str, Any]) -> FileRecord:
    record = FileRecord(**data)
    if [type(value) for value in (record.path, record.size, record.sha256)] != [str, int, str]:
        raise ValueError(f"a file is recorded as {data!r}")
    return record


def _quantisation(data: dict[str, Any] | None) -> Quantisation | None:
    if data is None:
        return None
    costs = tuple(Cost(**cost) for cost in data["costs"])
    for cost in costs:
        if not isinstance(cost.snr_db, float | int | None):
            raise ValueError(f"the cost of '{cost.tensor}' is {cost.snr_db!r}")
    return Quantisation(**data | {"costs": costs})


def _micro(data: dict[str, Any]) -> MicroModel:
    model = MicroModel(**data | {"operators": tuple(data["operators"])})
    if type(model.arena) is not int or model.arena < 1:
        raise ValueError(f"the arena of '{model.entry}' is {model.arena!r}")
    return model


def _artifact(data: dict[str, Any]) -> Artifact:
    choices = tuple(
        Choice(**choice | {"not_on": tuple(choice["not_on"])}) for choice in data["choices"]
    )
    return Artifact(data["path"], data["format"], data["entry"], choices, data["weights"])
