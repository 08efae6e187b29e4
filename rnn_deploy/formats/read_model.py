"""A model as the writers of formats receive it: read, planned, with golden vectors."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.bundle.manifest import ModelSource
from rnn_deploy.bundle.proof import Proof
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.opening import OpenedSavedModel
from rnn_deploy.keras.part import ModelPart
from rnn_deploy.keras.signature import taking_any_length
from rnn_deploy.keras.splitting import Split
from rnn_deploy.keras.tracing import Trace, trace_markers
from rnn_deploy.references.golden import References
from rnn_deploy.spec import EntryPoint, one_step


@dataclass(frozen=True)
class TracedEntry:
    """One entry point and its trace.

    undeclared: it has a number of steps that the model does not declare. part: the part of the
    model that is traced; None for the whole model.
    """

    trace: Trace
    entry: EntryPoint
    undeclared: bool = False
    part: ModelPart | None = None


@dataclass(frozen=True)
class SplitPlan:
    """The entry points of an encoder-decoder model: `encode` and `decode`."""

    split: Split
    encode: TracedEntry
    decode: TracedEntry


@dataclass(frozen=True)
class ExportPlan:
    """A Keras model with the traces of its entry points.

    notes: for the user. opened: the stream's time is open, the model's is fixed. halves: the entry
    points of an encoder-decoder model, None for any other.
    """

    model: Any
    sequence: TracedEntry
    stream: TracedEntry | None
    notes: tuple[str, ...]
    opened: bool
    halves: SplitPlan | None = None

    @property
    def all_traced(self) -> tuple[TracedEntry, ...]:
        """Return every entry point: `traced`, and encode and decode of an encoder-decoder model."""
        halves = () if self.halves is None else (self.halves.encode, self.halves.decode)
        return (*self.traced, *halves)

    @property
    def traced(self) -> tuple[TracedEntry, ...]:
        """Return the entry points: sequence, and stream if the model has one."""
        return (self.sequence,) if self.stream is None else (self.sequence, self.stream)

    @cached_property
    def step(self) -> TracedEntry | None:
        """Return the stream at one step; None if the model cannot be called with one step."""
        stream = self.stream
        if stream is None or not stream.entry.chunked.ok or len(stream.entry.time_symbols) != 1:
            return None
        entry = one_step(stream.entry)
        signature = replace(stream.trace.signature, inputs=entry.inputs)
        for undeclared in (False, True):
            try:
                with taking_any_length(self.model) if undeclared else nullcontext():
                    trace = trace_markers(self.model, signature)
            except UnsupportedModelError:
                continue  # the model accepts only its own number of steps, or an open one
            return TracedEntry(trace, entry, undeclared)
        return None


@dataclass(frozen=True)
class ReadModel:
    """Everything known about a model before a format is written.

    cases: golden vectors. calibration: the user's real inputs in batches, with the results of the
    references; empty without such data. evaluation: other real inputs, in the same form. cache: for
    a writer's own use, kept from one export of this model to the next; a key begins with the
    format's name.
    """

    source: ModelSource
    plan: ExportPlan
    cases: Sequence[GoldenCase]
    references: References
    proof: Proof
    calibration: Sequence[GoldenCase]
    evaluation: Sequence[GoldenCase] = ()
    cache: dict[object, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadSavedModel:
    """A SavedModel: its serving function, its only entry point, and golden vectors."""

    opened: OpenedSavedModel
    entry: EntryPoint
    cases: Sequence[GoldenCase]

    @property
    def source(self) -> ModelSource:
        """Return the origin of the model."""
        return self.opened.source
