"""Find the device of each node: from ONNX Runtime's profile of one run, or OpenVINO's own graph.

A misplaced node is one that did not run on the requested provider, unless it is shape arithmetic.
ONNX Runtime computes shapes on the CPU on purpose, since a GPU needs them there.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rnn_deploy.bundle import Bundle
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.spec import Array

# Operators that read only the shape of a tensor.
READS_SHAPE = ("Shape", "Size")
# Operators that may compute shapes: on vectors of a few integers or booleans, or on single numbers
# of any type. They also compute the condition of a Loop, whose counter tf2onnx compares in float32.
COMPUTES_SHAPES = (
    *("Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Split", "Flatten"),
    *("Cast", "Identity", "Constant", "ConstantOfShape", "Expand", "Range", "Where"),
    *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Min", "Max"),
    *("ReduceProd", "ReduceMax", "ReduceMin", "ReduceSum"),
    *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Not"),
)
MOST_SHAPE_VALUES = 16  # Pad takes the begins and ends of a tensor of 8 dimensions
SHAPE_TYPES = ("int64", "int32", "bool")
# A tensor in a profile: its type and its dimensions.
ProfiledTensor = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class NodePlacement:
    """One node that ran, and the provider that ran it.

    tensors: its inputs and outputs in all its runs, if the runtime reports them.
    """

    node: str
    op_type: str
    provider: str
    tensors: tuple[ProfiledTensor, ...] = ()

    @property
    def is_shape_arithmetic(self) -> bool:
        """Return whether it computes only shapes, so that it may run on the CPU."""
        if self.op_type in READS_SHAPE:
            return True
        return self.op_type in COMPUTES_SHAPES and all(
            not dims or (dtype in SHAPE_TYPES and len(dims) == 1 and dims[0] <= MOST_SHAPE_VALUES)
            for dtype, dims in self.tensors
        )

    def __str__(self) -> str:
        return f"{self.op_type} '{self.node}' on {self.provider}"


@runtime_checkable
class ReportsPlacement(Protocol):
    """A runtime that reports the device on which each node of an entry point ran.

    provider: the device requested for every node.
    """

    @property
    def provider(self) -> str: ...

    def placements(self, bundle: Bundle, options: RunOptions) -> list[NodePlacement] | None:
        """Return every node that ran and where; None if this runtime does not report it."""


def run_profiled(session: Callable[..., Any], feeds: Mapping[str, Array]) -> list[NodePlacement]:
    """Run a new session once on `feeds`; return the nodes that ran, and where."""
    with tempfile.TemporaryDirectory() as folder:
        profiled = session(enable_profiling=True, profile_file_prefix=str(Path(folder) / "run"))
        profiled.run(None, dict(feeds))
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    return placements(events)


def placements(events: Iterable[Mapping[str, Any]]) -> list[NodePlacement]:
    """Return the nodes of a profile, each once for each provider that ran it."""
    tensors: dict[tuple[str, str, str], set[ProfiledTensor]] = defaultdict(set)
    for event in events:
        facts = event.get("args", {})
        if "provider" in facts and "op_name" in facts:
            name = str(event["name"]).removesuffix("_kernel_time")
            tensors[name, str(facts["op_name"]), str(facts["provider"])].update(_tensors(facts))
    return [NodePlacement(*node, tuple(sorted(tensors[node]))) for node in sorted(tensors)]


def misplaced(nodes: Iterable[NodePlacement], provider: str) -> list[NodePlacement]:
    """Return the nodes that should have run on `provider` but did not."""
    return [n for n in nodes if n.provider != provider and not n.is_shape_arithmetic]


def _tensors(facts: Mapping[str, Any]) -> Iterator[ProfiledTensor]:
    """Yield the tensors of a profile's event, which has them as [{"int64": [3]}, ...]."""
    for tensor in (*facts.get("input_type_shape", ()), *facts.get("output_type_shape", ())):
        yield from ((dtype, tuple(dims)) for dtype, dims in tensor.items())
