"""The proof: how far the references of a model are from each other, layer by layer.

One .npz file. For every recurrent layer with a cell of Keras, it holds the distances between three
computations: TensorFlow in float32, the model in float64 (the oracle), and the recurrences in NumPy
float64. For one sequence, it holds every state after each step: in float64, as TensorFlow computed
it, and the running bound of a float32 layer (numerics/rounding.py).

    LAYER/votes      the largest distances: TensorFlow to oracle, NumPy to oracle, NumPy to
                     TensorFlow; the largest magnitude; growth of an error per step (nan: unknown)
    feeds/NAME       the sequence, (1, time, ...)
    STATE/true, STATE/reference, STATE/bound     (time, 1, units); bound only if it is known
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np

from rnn_deploy.bundle.npz import read_npz, write_npz
from rnn_deploy.bundle.store import Bundle
from rnn_deploy.errors import BundleError
from rnn_deploy.spec import Array

PROOF = "proof.npz"
AGREE = 1e-9  # between two float64 computations, relative to the magnitude
# The largest distance from float32 to float64, relative to the magnitude. If fewer than half of the
# digits of float32 agree, the two compute different functions.
NEAR = 2.0**-10


@dataclass(frozen=True)
class ReferenceDistances:
    """How far three computations of one recurrent layer are from each other.

    tensorflow: from TensorFlow in float32 to the oracle. cells: from the recurrences in NumPy to
    the oracle. between: from TensorFlow to NumPy. growth: of an error, per step.
    """

    layer: str
    tensorflow: float
    cells: float
    between: float
    scale: float
    growth: float

    def widened(self, other: "ReferenceDistances") -> "ReferenceDistances":
        """Return the larger distances of two, with the growth of the first."""
        return ReferenceDistances(
            self.layer,
            max(self.tensorflow, other.tensorflow),
            max(self.cells, other.cells),
            max(self.between, other.between),
            max(self.scale, other.scale),
            self.growth,
        )

    @property
    def alone(self) -> str:
        """Name the computation that differs from the two others; empty if none does."""
        near = NEAR * self.scale
        if self.cells <= AGREE * self.scale:
            apart = self.tensorflow > near and not self.growth > 1
            return "TensorFlow in float32" if apart else ""
        if self.tensorflow <= near:
            return "the recurrence in NumPy"
        return "the float64 oracle" if self.between <= near else "each of the three"


@dataclass(frozen=True, eq=False)
class RunningStates:
    """One state of one sequence after each step, (time, 1, units) each; bound may be unknown."""

    true: Array
    reference: Array
    bound: Array | None


@dataclass(frozen=True, eq=False)
class Proof:
    """Distances of the references. feeds: the sequence; running: its states by name."""

    votes: tuple[ReferenceDistances, ...] = ()
    feeds: Mapping[str, Array] = field(default_factory=dict)
    running: Mapping[str, RunningStates] = field(default_factory=dict)


def write_proof(place: Path, proof: Proof) -> None:
    """Write a proof; equal proofs give equal bytes."""
    arrays: dict[str, Array] = {f"feeds/{name}": value for name, value in proof.feeds.items()}
    for vote in proof.votes:
        arrays[f"{vote.layer}/votes"] = np.array(
            [vote.tensorflow, vote.cells, vote.between, vote.scale, vote.growth]
        )
    for name, running in proof.running.items():
        arrays[f"{name}/true"], arrays[f"{name}/reference"] = running.true, running.reference
        if running.bound is not None:
            arrays[f"{name}/bound"] = running.bound
    write_npz(place, arrays)


def proof_of(bundle: Bundle) -> Proof:
    """Read the proof of a bundle, empty if it has none."""
    there = any(record.path == PROOF for record in bundle.manifest.files)
    return read_proof(bundle.root / PROOF, bundle.read(PROOF)) if there else Proof()


def read_proof(place: Path, content: bytes | None = None) -> Proof:
    """Read a proof; raise BundleError if it is damaged. content: the file's bytes, if known."""
    try:
        return _proof(read_npz(place if content is None else BytesIO(content)))
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            "E-BUNDLE-DAMAGED",
            f"{place}: the proof cannot be read ({error}); export the model again",
        ) from error


def _proof(arrays: Mapping[str, Array]) -> Proof:
    strange = [name for name, value in arrays.items() if value.dtype.kind not in "fiub"]
    if strange:
        raise ValueError(f"'{strange[0]}' holds no numbers")
    votes = tuple(
        ReferenceDistances(name, *(float(number) for number in arrays[f"{name}/votes"]))
        for name in _with_part("votes", arrays)
    )
    feeds = {
        key.removeprefix("feeds/"): value
        for key, value in arrays.items()
        if key.startswith("feeds/")
    }
    running = {
        name: RunningStates(
            arrays[f"{name}/true"], arrays[f"{name}/reference"], arrays.get(f"{name}/bound")
        )
        for name in _with_part("true", arrays)
    }
    for name, states in running.items():
        shape = states.true.shape
        others = [v for v in (states.reference, states.bound) if v is not None]
        if len(shape) < 3 or any(value.shape != shape for value in others):
            raise ValueError(f"the running states of '{name}' have the shape {shape}")
    return Proof(votes, feeds, running)


def _with_part(part: str, keys: Iterable[str]) -> list[str]:
    return [key.removesuffix(f"/{part}") for key in keys if key.endswith(f"/{part}")]
