"""golden.json: golden vectors with their budgets, which the page checks before it shows results."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.verifying.judge.tolerance import Budgets

MOST_NUMBERS = 65_536  # numbers of one case, so that a page opens quickly
MOST_IN_ALL = 262_144


def golden_json(
    entry: EntryPoint, cases: Sequence[GoldenCase], budgets: Budgets, check: str = ""
) -> dict[str, Any]:
    """Return the golden vectors of a check as plain JSON values.

    A case also runs step by step if its chunks compute the same as the whole.
    """
    return {"cases": [_case(entry, case, budgets) for case in chosen(entry, cases, check)]}


def chosen(entry: EntryPoint, cases: Sequence[GoldenCase], check: str = "") -> list[GoldenCase]:
    """Return the cases of an entry point that are small enough; at least the smallest.

    check: the one that the cases belong to; empty for the plain ones.
    """
    plain = [c for c in cases if entry.name in c.entries and c.check == check and not c.probes]
    ordered = sorted(plain, key=_numbers)
    kept: list[GoldenCase] = []
    left = MOST_IN_ALL
    for case in ordered:
        size = _numbers(case)
        if not kept or size <= min(MOST_NUMBERS, left):
            kept.append(case)
            left -= size
    return [case for case in plain if any(case is each for each in kept)]


def tensor_json(value: Array) -> dict[str, Any]:
    """Return a tensor: dtype, shape, and its bytes (little endian) as base64, which keeps NaN."""
    ordered = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    return {
        "dtype": value.dtype.name,
        "shape": list(value.shape),
        "data": base64.b64encode(ordered.tobytes()).decode(),
    }


def _case(entry: EntryPoint, case: GoldenCase, budgets: Budgets) -> dict[str, Any]:
    allowed = {t.name: budgets.budget_of(case, t.name) for t in entry.all_outputs}
    feeds = {t.name for t in entry.all_inputs}
    return {
        "name": case.name,
        "by_steps": bool(case.chunks) and entry.chunked.ok,
        "feeds": _tensors({n: v for n, v in case.feeds.items() if n in feeds}),
        "truth": _tensors({name: case.truth[name] for name in allowed}),
        "budgets": {
            name: {"atol": budget.atol, "decisive": budget.decisive}
            for name, budget in allowed.items()
        },
    }


def _tensors(values: Mapping[str, Array]) -> dict[str, Any]:
    return {name: tensor_json(value) for name, value in values.items()}


def _numbers(case: GoldenCase) -> int:
    return sum(value.size for value in (*case.feeds.values(), *case.truth.values()))
