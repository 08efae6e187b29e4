"""Faults for any model file, planted in one file or signature: CLASSES[name](plan) -> done.

A plan knows the file, the entry point that the file serves, and a random generator. Where an entry
point cannot have a fault, nothing is planted and False is returned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import numpy as np

from rnn_deploy.spec import EntryPoint, TensorSpec
from tests.support.edits import OnnxEdit, TfliteEdit
from tests.support.planted_weights import activations, floats, renamed, stale, strongest

SMALL = 1e-3  # added where nothing else is changed
Condition = Callable[[Any, Any, int], Any]


@dataclass
class Plan:
    """Where a fault goes. file: "sequence.onnx", or the signature of a TFLite file."""

    edit: OnnxEdit | TfliteEdit
    entry: EntryPoint
    single: bool  # the file runs one step
    rng: Random

    @cached_property
    def output(self) -> TensorSpec:
        return self.rng.choice([t for t in self.entry.outputs if t.dtype == "float32"])

    @cached_property
    def state(self) -> Any:
        return self.rng.choice(self.entry.states) if self.entry.states else None

    @cached_property
    def input(self) -> TensorSpec:
        return self.entry.inputs[0]

    @property
    def time(self) -> str | None:
        symbols = self.entry.time_symbols
        return symbols[0] if len(symbols) == 1 and not self.single else None


def on_output(change: Callable[[Plan, Any, Any], Any]) -> Callable[[Plan], bool]:
    return lambda plan: plan.edit.behind(plan.output.name, lambda ops, y: change(plan, ops, y))


def on_state(change: Callable[[Plan, Any, Any], Any], *, leaving: bool) -> Callable[[Plan], bool]:
    def plant(plan: Plan) -> bool:
        if plan.state is None:
            return False
        name = plan.state.next_name if leaving else plan.state.tensor.name
        return plan.edit.behind(name, lambda ops, s: change(plan, ops, s))

    return plant


def on_input(change: Callable[[Plan, Any, Any], Any]) -> Callable[[Plan], bool]:
    return lambda plan: plan.edit.behind(plan.input.name, lambda ops, x: change(plan, ops, x))


def where(tensor: str, condition: Condition, change: float = SMALL) -> Callable[[Plan], bool]:
    """Add a number to an output or a leaving state where a condition is true.

    tensor: "row", "step" or "any": the axis that the output must have.
    """

    def plant(plan: Plan) -> bool:
        spec = plan.output
        if tensor == "step" and (plan.time is None or plan.time not in spec.shape):
            return False
        axis = spec.shape.index(plan.time) if tensor == "step" else 0
        rank = len(spec.shape)

        def build(ops: Any, y: Any) -> Any:
            return ops.where(condition(ops, y, (axis, rank)), ops.add(y, change), y)

        return plan.edit.behind(spec.name, build)

    return plant


def state_where(condition: Condition, *, leaving: bool = True) -> Callable[[Plan], bool]:
    def change(plan: Plan, ops: Any, s: Any) -> Any:
        rank = len(plan.state.tensor.shape)
        return ops.where(condition(ops, s, (0, rank)), ops.add(ops.mul(s, 0.9), SMALL), s)

    return on_state(change, leaving=leaving)


def at(index: int) -> Condition:
    """One index of the axis, from its end if negative."""

    def condition(ops: Any, y: Any, place: Any) -> Any:
        wanted = index if index >= 0 else ops.size_add(ops.size(y, place[0]), index)
        return ops.size_equal(ops.places(y, *place), wanted)

    return condition


def every(number: int, rest: int) -> Condition:
    """Each index whose remainder is `rest`."""
    return lambda ops, y, place: ops.size_equal(ops.size_mod(ops.places(y, *place), number), rest)


def size(number: int) -> Condition:
    """An axis of exactly this size."""
    return lambda ops, y, place: ops.size_equal(ops.size(y, place[0]), number)


def size_above(number: int) -> Condition:
    """An axis that is longer; the other branch is the one that is changed."""

    def condition(ops: Any, y: Any, place: Any) -> Any:
        index = ops.places(y, *place)
        return ops.size_less(ops.size_add(ops.size_mod(index, 1), number), ops.size(y, place[0]))

    return condition


def size_modulo(number: int, rest: int) -> Condition:
    return lambda ops, y, place: ops.size_equal(ops.size_mod(ops.size(y, place[0]), number), rest)


def from_index(number: int) -> Condition:
    """Every index after this one."""

    def condition(ops: Any, y: Any, place: Any) -> Any:
        index = ops.places(y, *place)
        return ops.size_less(ops.size_add(ops.size_mod(index, 1), number), index)

    return condition


def row_and_step(row: int, step: int) -> Callable[[Plan], bool]:
    def plant(plan: Plan) -> bool:
        shape = plan.output.shape
        if plan.time is None or plan.time not in shape:
            return False
        places = (0, len(shape)), (shape.index(plan.time), len(shape))

        def build(ops: Any, y: Any) -> Any:
            here = ops.both(at(row)(ops, y, places[0]), at(step)(ops, y, places[1]))
            return ops.where(here, ops.add(y, SMALL), y)

        return plan.edit.behind(plan.output.name, build)

    return plant


def reversed_axis(*, time: bool) -> Callable[[Plan, Any, Any], Any]:
    def change(plan: Plan, ops: Any, x: Any) -> Any:
        return ops.reverse(x, plan.input.shape.index(plan.time) if time else 0)

    return change


def of_time(plant: Callable[[Plan], bool]) -> Callable[[Plan], bool]:
    """Only where the input has several steps."""

    def planted(plan: Plan) -> bool:
        return plan.time is not None and plan.time in plan.input.shape and plant(plan)

    return planted


def of_kind(kind: str, plant: Callable[[Plan], bool]) -> Callable[[Plan], bool]:
    """Only where the first input has this kind of numbers."""
    return lambda plan: np.dtype(plan.input.dtype).kind == kind and plant(plan)


def cut_ids(plan: Plan, ops: Any, ids: Any) -> Any:
    return ops.minimum(ids, (plan.input.below or 2) - 2)


def another_id(number: int) -> Callable[[Plan, Any, Any], Any]:
    def change(plan: Plan, ops: Any, ids: Any) -> Any:
        wrong = number if number >= 0 else (plan.input.below or 2) + number
        return ops.where(ops.value_equal(ids, wrong), ops.add(ids, 1 if number >= 0 else -1), ids)

    return change


def large(limit: float) -> Callable[[Plan, Any, Any], Any]:
    return lambda plan, ops, x: ops.where(ops.greater(ops.absolute(x), limit), ops.mul(x, 0.5), x)


def clip(limit: float) -> Callable[[Plan, Any, Any], Any]:
    return lambda plan, ops, x: ops.maximum(ops.minimum(x, limit), -limit)


def scale(factor: float) -> Callable[[Plan, Any, Any], Any]:
    return lambda plan, ops, x: ops.mul(x, factor)


def half(plan: Plan, ops: Any, x: Any) -> Any:
    return ops.half(x)


CLASSES: dict[str, Callable[[Plan], bool]] = {
    **{f"weights: {name}": change for name, change in floats().items()},
    **{f"activation: {name}": change for name, change in activations().items()},
    "outputs swapped": renamed("outputs"),
    "states leave swapped": renamed("leaving"),
    "states enter swapped": renamed("entering"),
    "state leaves as it came": stale,
    "initial state ignored": on_state(scale(0.0), leaving=False),
    "initial state ignored in row 3": state_where(at(3), leaving=False),
    "initial state ignored in the last row": state_where(at(-1), leaving=False),
    "initial state in float16": on_state(half, leaving=False),
    "initial states of the rows reversed": on_state(
        lambda plan, ops, s: ops.reverse(s, 0), leaving=False
    ),
    "initial state clipped at 2": on_state(clip(2.0), leaving=False),
    "leaving state in float16": on_state(half, leaving=True),
    "leaving state x 1.0001": on_state(scale(1.0001), leaving=True),
    "leaving state clipped at 0.9": on_state(clip(0.9), leaving=True),
    "leaving states of the rows reversed": on_state(
        lambda plan, ops, s: ops.reverse(s, 0), leaving=True
    ),
    **{f"leaving state wrong in row {n}": state_where(at(n)) for n in (0, 5, 16, 20, -1)},
    **{f"leaving state wrong in batches of {n}": state_where(size(n)) for n in (1, 4, 8, 17, 33)},
    "output x 1.0001": on_output(scale(1.0001)),
    "output in float16": on_output(half),
    "output clipped at 0.9": on_output(clip(0.9)),
    "output of the rows reversed": on_output(lambda plan, ops, y: ops.reverse(y, 0)),
    **{f"output wrong at step {n}": where("step", at(n))
       for n in (0, 1, 3, 6, 11, 15, 31, 64, 100, 200, 256, -1, -2)},
    **{f"output wrong in row {n}": where("row", at(n)) for n in (0, 2, 4, 9, 16, 24, 63, -1)},
    **{f"output wrong in row {r} at step {t}": row_and_step(r, t)
       for r, t in ((0, 0), (1, 2), (4, 1), (16, 2), (3, 9), (0, 40))},
    **{f"output wrong for {n} steps": where("step", size(n))
       for n in (1, 2, 4, 9, 12, 13, 17, 23, 34, 64, 100, 128, 255)},
    **{f"output wrong for batches of {n}": where("row", size(n))
       for n in (1, 2, 4, 5, 6, 8, 12, 16, 18, 32, 64, 100)},
    **{f"output wrong at every step {r} of {n}": where("step", every(n, r))
       for n, r in ((2, 1), (4, 2), (8, 7), (16, 5))},
    **{f"output wrong for numbers of steps {r} modulo {n}": where("step", size_modulo(n, r))
       for n, r in ((4, 2), (8, 1), (8, 7), (3, 0))},
    **{f"output wrong for batches {r} modulo {n}": where("row", size_modulo(n, r))
       for n, r in ((4, 0), (2, 1))},
    **{f"output wrong after step {n}": where("step", from_index(n)) for n in (20, 99, 250)},
    **{f"output wrong after row {n}": where("row", from_index(n)) for n in (17, 60)},
    **{f"output wrong for more than {n} steps": where("step", size_above(n)) for n in (16, 130)},
    **{f"output wrong for batches above {n}": where("row", size_above(n)) for n in (18, 70)},
    "inputs reversed in time": of_time(on_input(reversed_axis(time=True))),
    "inputs of the rows reversed": on_input(reversed_axis(time=False)),
    "input in float16": of_kind("f", on_input(half)),
    **{f"input above {n} halved": of_kind("f", on_input(large(n))) for n in (2.0, 20.0, 500.0)},
    "input clipped at 100": of_kind("f", on_input(clip(100.0))),
    "last id wrong": of_kind("i", on_input(cut_ids)),
    **{f"id {n} wrong": of_kind("i", on_input(another_id(n))) for n in (1, 4, 8, -2)},
    "strongest weight x 1.0001": strongest,
}  # fmt: skip
