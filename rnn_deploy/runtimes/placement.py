"""Where a runtime really put each node: ONNX Runtime's profile of one run, OpenVINO's own graph."""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rnn_deploy.bundle import Bundle
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.spec import Array

# ONNX's recurrent operators, and what OpenVINO makes of them.
RECURRENT = (
    *("RNN", "GRU", "LSTM", "Scan", "Loop"),
    *("RNNSeq", "RNNCell", "TensorIterator"),
)


@dataclass(frozen=True)
class NodePlacement:
    """One node that ran, and the provider that ran it."""

    node: str
    op_type: str
    provider: str

    def __str__(self) -> str:
        return f"{self.op_type} '{self.node}' on {self.provider}"


@runtime_checkable
class ReportsPlacement(Protocol):
    """A runtime that can say where each node of an entry point really ran.

    provider: where every recurrent node is asked to run.
    """

    @property
    def provider(self) -> str: ...

    def placements(self, bundle: Bundle, options: RunOptions) -> list[NodePlacement] | None:
        """Every node that ran and where; None if this runtime cannot tell."""


def run_profiled(session: Callable[..., Any], feeds: Mapping[str, Array]) -> list[NodePlacement]:
    """Run a session of its own once on `feeds`; the nodes that ran, and where."""
    with tempfile.TemporaryDirectory() as folder:
        profiled = session(enable_profiling=True, profile_file_prefix=str(Path(folder) / "run"))
        profiled.run(None, dict(feeds))
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    return placements(events)


def placements(events: Iterable[Mapping[str, Any]]) -> list[NodePlacement]:
    """The nodes of a profile, each once."""
    found = {
        NodePlacement(
            str(event["name"]).removesuffix("_kernel_time"),
            str(event["args"]["op_name"]),
            str(event["args"]["provider"]),
        )
        for event in events
        if "provider" in event.get("args", {}) and "op_name" in event["args"]
    }
    return sorted(found, key=lambda placement: placement.node)


def misplaced(nodes: Iterable[NodePlacement], provider: str) -> list[NodePlacement]:
    """The recurrent nodes that did not run on `provider`."""
    return [n for n in nodes if n.op_type in RECURRENT and n.provider != provider]
