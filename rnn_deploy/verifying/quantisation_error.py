"""What quantisation costs, measured on export, in a process of its own: a quantised file that ends
the runtime must not end the export without a word.

For each output and state, over all cases and every check that fits, with t the oracle's values
and e the error:

    SNR = 10 log10( sum t^2 / sum e^2 )   dB
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.bundle.manifest import Quantisation, QuantisationError
from rnn_deploy.errors import (
    InputError,
    RnnDeployError,
    RuntimeAbortedError,
    UnsupportedModelError,
)
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.spec import SEQUENCE, Array
from rnn_deploy.verifying.judge.checks import CHECKS, CheckSubject, applies
from rnn_deploy.verifying.judge.compare import errors
from rnn_deploy.verifying.judge.quantised import FLOOR, UNFIT, below_floor, fit_checks

# They compare one answer of the runtime with another.
WITHOUT_TRUTH = ("hand-over", "reset", "batch")


@dataclass
class _ErrorSums:
    """What is summed up for one tensor."""

    kind: str
    signal: float = 0.0
    noise: float = 0.0
    max_abs: float = 0.0
    labels: int = 0
    changed: int = 0


def appraise(
    bundle: Bundle, cases: Sequence[GoldenCase]
) -> tuple[tuple[QuantisationError, ...], tuple[str, ...]]:
    """The cost of a quantised bundle on the first runtime for its format, and what to warn of.

    cases: golden vectors and, where given, calibration data, each with its truth.
    UnsupportedModelError where the runtime does not run it, or ends.
    """
    quantisation = bundle.manifest.quantisation
    assert quantisation is not None
    runtime = next(r for r in RUNTIMES.values() if r.format == quantisation.format)
    try:
        with staying([runtime]) as (apart,):
            costs = costs_of(bundle, apart, cases)
    except (InputError, RuntimeAbortedError) as error:
        raise UnsupportedModelError(_not_run(bundle, runtime, quantisation, error)) from error
    return costs, tuple(_warning(cost) for cost in costs if below_floor(cost))


def _not_run(
    bundle: Bundle, runtime: Runtime, quantisation: Quantisation, error: RnnDeployError
) -> str:
    others = " or ".join(mode for mode in UNFIT if mode != quantisation.mode)
    return (
        f"model '{bundle.manifest.source.name}' is not run by {runtime.name} once it is quantised"
        f" to {quantisation.mode}: {error}; export with --quantize {others}, or leave --quantize"
        " out, and please report it with the model"
    )


def costs_of(
    bundle: Bundle, runtime: Runtime, cases: Iterable[GoldenCase]
) -> tuple[QuantisationError, ...]:
    """What each output and state lost on `runtime`, by every way there is to run it."""
    states = {s.next_name for entry in bundle.manifest.entries for s in entry.states}
    how = bundle.manifest.quantisation
    sums: dict[str, _ErrorSums] = {}
    names = [entry.name for entry in bundle.manifest.entries]
    with ExitStack() as stack:
        runners = {name: runtime.load(bundle, RunOptions(name)) for name in names}
        for runner in runners.values():
            stack.callback(runner.close)
        for check, case, results in _results(CheckSubject(runners), cases, how):
            for name, value in results.items():
                kind = "state" if name in states else "output"
                summed = sums.setdefault(name, _ErrorSums(kind))
                _add(summed, value, case.truth[name], count=check == SEQUENCE)
    return tuple(_cost(name, summed) for name, summed in sums.items())


def _results(
    subject: CheckSubject, cases: Iterable[GoldenCase], quantisation: Quantisation | None
) -> Iterator[tuple[str, GoldenCase, Mapping[str, Array]]]:
    """What every check that is judged by the case's truth gives for every case."""
    checks = fit_checks(quantisation, [check for check in CHECKS if check not in WITHOUT_TRUTH])
    for case in cases:
        for check in checks:
            for found in CHECKS[check](subject, case) if applies(check, case) else ():
                yield check, case, found.values


def _add(summed: _ErrorSums, value: Array, truth: Array, *, count: bool) -> None:
    error = errors(value, truth) if value.shape == truth.shape else np.array(np.inf)
    summed.signal += float(np.sum(np.square(truth.astype(np.float64))))
    summed.noise += float(np.sum(np.square(error)))
    summed.max_abs = max(summed.max_abs, float(error.max(initial=0.0)))
    classes = summed.kind == "output" and truth.ndim > 1 and truth.shape[-1] > 1
    if count and classes and truth.dtype.kind == "f":
        changed = value.argmax(axis=-1) != truth.argmax(axis=-1)
        summed.labels += changed.size
        summed.changed += int(changed.sum())


def _cost(name: str, summed: _ErrorSums) -> QuantisationError:
    snr = _decibels(summed.signal, summed.noise)
    return QuantisationError(name, summed.kind, snr, summed.max_abs, summed.labels, summed.changed)


def _decibels(signal: float, noise: float) -> float | None:
    if noise == 0:
        return None
    ratio = signal / noise
    return round(10 * math.log10(ratio), 2) if 0 < ratio < math.inf else -300.0


def _warning(cost: QuantisationError) -> str:
    return (
        f"{cost.kind} '{cost.tensor}' keeps {cost.snr_db:.1f} dB of signal over noise, less than"
        f" the {FLOOR:g} dB below which verification fails; calibrate with data like the real, or"
        " quantise less"
    )
