"""Describe the functions of a model for packagers; the manifest stores the description."""

from collections.abc import Sequence
from typing import Any

from rnn_deploy.c.functions import FunctionWriter
from rnn_deploy.c.ir import Value
from rnn_deploy.c.layout import C_TYPES


def interface_of(writers: Sequence[FunctionWriter]) -> dict[str, Any]:
    """Return the description of the whole model and, under `halves`, of encode and decode."""
    whole, *others = map(_entry, writers)
    halves = {writer.entry: data for writer, data in zip(writers[1:], others, strict=True)}
    return {**whole, "halves": halves} if halves else whole


def _entry(writer: FunctionWriter) -> dict[str, Any]:
    """Return the arguments of the functions in order, and the fields of the state."""
    layout, program = writer.layout, writer.program

    def tensor(name: str, identifier: str, value: Value) -> dict[str, Any]:
        steps = None if value.time is None else layout.steps[value.time]
        found: dict[str, Any] = {
            "name": name, "identifier": identifier, "size": value.size, "steps": steps,
            "type": C_TYPES[value.dtype],
        }  # fmt: skip
        return found if value.over is None else {**found, "over": layout.steps[value.over]}

    outputs = zip(layout.outputs, program.outputs, strict=True)
    several = writer.by_steps and len(layout.steps) > 1
    moving = {"moving": layout.steps[writer.plan.loops[0].time]} if several else {}
    return {
        **moving,
        "inputs": [
            tensor(v.name, n, v) for n, v in zip(layout.inputs, program.inputs, strict=True)
        ],
        "mask": layout.mask_root is not None,
        "steps": list(layout.steps.values()),
        "outputs": [tensor(name, identifier, value) for identifier, (name, value) in outputs],
        "work": writer.takes_work,
        "step": writer.by_steps,
        "states": [
            {"layer": f.key[0], "role": f.key[1], "field": f.name, "size": f.size}
            for f in layout.fields[: layout.free]
        ],
    }
