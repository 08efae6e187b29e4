"""The golden vectors of a starter program, with the budgets of `verify`."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from rnn_deploy.bundle import cases_of
from rnn_deploy.bundle.npz import write_npz
from rnn_deploy.errors import BundleError
from rnn_deploy.packaging.proof import budgets_of
from rnn_deploy.packaging.starter.program import StarterProgram
from rnn_deploy.runtimes.feeds import zero_states
from rnn_deploy.spec import Array

MOST_VALUES = 50_000  # numbers of one case, inputs and outputs together
MOST_CASES = 8


@dataclass(frozen=True)
class CheckCase:
    """One golden vector. feeds: inputs and initial states; truth, budgets: outputs and states."""

    name: str
    feeds: dict[str, Array]
    truth: dict[str, Array]
    budgets: dict[str, float]


def check_cases(program: StarterProgram, *, rows: int | None = None) -> list[CheckCase]:
    """Return the cases with which a program checks itself, at least one.

    rows: the most sequences of each case, if rows are independent.
    Raises BundleError if the bundle has none.
    """
    found = [case for _, case in zip(range(MOST_CASES), _all_cases(program, rows), strict=False)]
    if not found:
        raise BundleError(
            "E-BUNDLE-NO-GOLDEN",
            f"{program.bundle.root} has no golden vector of the entry point"
            f" '{program.entry.name}' that is small enough for a package; export the model again",
        )
    return found


def _all_cases(program: StarterProgram, rows: int | None) -> Iterator[CheckCase]:
    entry = program.entry
    budgets = budgets_of(program.bundle, program.artifact.format)
    names = [tensor.name for tensor in entry.all_outputs]
    for case in cases_of(program.bundle):
        if case.check or case.probes or entry.name not in case.entries:
            continue
        batch = len(case.feeds[entry.inputs[0].name])
        feeds = {**zero_states(entry, batch), **case.feeds}
        truth = {name: case.truth[name] for name in names}
        if rows is not None and rows < batch:
            if not (case.rows_alone or entry.rows.ok):
                continue
            feeds = {name: value[:rows] for name, value in feeds.items()}
            truth = {name: value[:rows] for name, value in truth.items()}
        size = sum(value.size for value in (*feeds.values(), *truth.values()))
        if size <= MOST_VALUES:
            allowed = {name: float(budgets.budget_of(case, name).atol) for name in names}
            yield CheckCase(case.name, feeds, truth, allowed)


def npz_of(cases: list[CheckCase]) -> bytes:
    """Return cases as an .npz: CASE/feeds/NAME, CASE/truth/NAME, CASE/budget/NAME."""
    arrays: dict[str, Array] = {}
    for case in cases:
        arrays |= {f"{case.name}/feeds/{name}": value for name, value in case.feeds.items()}
        arrays |= {f"{case.name}/truth/{name}": value for name, value in case.truth.items()}
        arrays |= {f"{case.name}/budget/{n}": np.array(value) for n, value in case.budgets.items()}
    file = BytesIO()
    write_npz(file, arrays)
    return file.getvalue()


def binary_of(program: StarterProgram, cases: list[CheckCase]) -> bytes:
    """Return golden.bin: float64, little endian.

    For each case: the batch and the other open sizes; the values of each input and state; then the
    budget and the values of each output and state. The number of values precedes them.
    """
    parts: list[Array] = []
    for case in cases:
        sizes = {
            dim: size
            for tensor in program.entry.inputs
            for dim, size in zip(tensor.shape, case.feeds[tensor.name].shape, strict=True)
        }
        batch = len(case.feeds[program.entry.inputs[0].name])
        parts.append(np.array([batch, *(sizes[symbol] for symbol in open_sizes(program))]))
        for tensor in program.entry.all_inputs:
            value = case.feeds[tensor.name]
            parts += [np.array([value.size]), value.reshape(-1)]
        for tensor in program.entry.all_outputs:
            value = case.truth[tensor.name]
            budget = case.budgets[tensor.name]
            parts += [np.array([budget, value.size]), value.reshape(-1)]
    return b"".join(np.asarray(part, "<f8").tobytes() for part in parts)


def open_sizes(program: StarterProgram) -> list[str]:
    """Return the symbols of the inputs' shapes except the batch."""
    dims = (dim for tensor in program.entry.inputs for dim in tensor.shape[1:])
    return list(dict.fromkeys(dim for dim in dims if isinstance(dim, str)))
