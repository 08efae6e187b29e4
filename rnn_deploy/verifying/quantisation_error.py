"""Measure the error of a quantised bundle on export.

The runtime has a process of its own, so that a file that aborts it does not abort the export. For
each output and state, over all cases and every check that applies, with t the oracle's values and
e the error:

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
    RuntimeAbortedError,
    UnsupportedModelError,
    one_line,
)
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.spec import SEQUENCE, Array
from rnn_deploy.verifying.judge.checks import CHECKS, applies
from rnn_deploy.verifying.judge.distance import errors
from rnn_deploy.verifying.judge.quantisation import (
    FLOOR,
    SKIPPED_CHECKS,
    below_floor,
    checks_for,
)
from rnn_deploy.verifying.judge.subject import CheckSubject

# They need more than one call or runtime, and measure no other error.
_NOT_MEASURED = ("hand-over", "reset", "batch")


@dataclass
class _ErrorSums:
    """The sums over all values of one tensor."""

    kind: str
    signal: float = 0.0
    noise: float = 0.0
    max_abs: float = 0.0
    labels: int = 0
    changed: int = 0


def appraise(
    bundle: Bundle, cases: Sequence[GoldenCase]
) -> tuple[tuple[QuantisationError, ...], tuple[str, ...]]:
    """Return the errors of a quantised bundle on the first runtime for its format, and warnings.

    cases: golden vectors and calibration data with their true values. Raises
    UnsupportedModelError if the runtime refuses the file or aborts.
    """
    quantisation = bundle.manifest.quantisation
    assert quantisation is not None
    runtime = next(r for r in RUNTIMES.values() if r.format == quantisation.format)
    try:
        with staying([runtime]) as (isolated,):
            quantisation_errors = errors_on(bundle, isolated, cases)
    except (InputError, RuntimeAbortedError) as error:
        others = " or ".join(mode for mode in SKIPPED_CHECKS if mode != quantisation.mode)
        raise UnsupportedModelError(
            "E-MODEL-QUANTISED-NOT-RUN",
            f"{runtime.name} does not run model '{bundle.manifest.source.name}' quantised to"
            f" {quantisation.mode}: {one_line(error)}; export with --quantize {others}, or without"
            " --quantize, and please report this with the model",
        ) from error
    warnings = (_warning(each) for each in quantisation_errors if below_floor(each))
    return quantisation_errors, tuple(warnings)


def errors_on(
    bundle: Bundle, runtime: Runtime, cases: Iterable[GoldenCase]
) -> tuple[QuantisationError, ...]:
    """Return the error of each output and state on `runtime`, over every check that applies."""
    states = {s.next_name for entry in bundle.manifest.entries for s in entry.states}
    quantisation = bundle.manifest.quantisation
    sums: dict[str, _ErrorSums] = {}
    every = (entry.name for entry in bundle.manifest.entries)
    names = [n for n in every if bundle.manifest.artifact(runtime.format, n) is not None]
    with ExitStack() as stack:
        runners = {name: runtime.load(bundle, RunOptions(name)) for name in names}
        for runner in runners.values():
            stack.callback(runner.close)
        for check, case, results in _results(CheckSubject(runners), cases, quantisation):
            for name, value in results.items():
                kind = "state" if name in states else "output"
                summed = sums.setdefault(name, _ErrorSums(kind))
                _add(summed, value, case.truth[name], count=check == SEQUENCE)
    return tuple(_total(name, summed) for name, summed in sums.items())


def _results(
    subject: CheckSubject, cases: Iterable[GoldenCase], quantisation: Quantisation | None
) -> Iterator[tuple[str, GoldenCase, Mapping[str, Array]]]:
    """Yield the results of every check that compares with the truth, for every case."""
    checks = checks_for(quantisation, [check for check in CHECKS if check not in _NOT_MEASURED])
    for case in cases:
        for check in checks:
            for result in CHECKS[check](subject, case) if applies(check, case) else ():
                if result.expected is None:  # others do not belong to the truth of the case
                    yield check, case, result.values


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


def _total(name: str, summed: _ErrorSums) -> QuantisationError:
    snr = _decibels(summed.signal, summed.noise)
    return QuantisationError(name, summed.kind, snr, summed.max_abs, summed.labels, summed.changed)


def _decibels(signal: float, noise: float) -> float | None:
    if noise == 0:
        return None
    ratio = signal / noise
    return round(10 * math.log10(ratio), 2) if 0 < ratio < math.inf else -300.0


def _warning(cost: QuantisationError) -> str:
    return (
        f"{cost.kind} '{cost.tensor}' has a signal-to-noise ratio of {cost.snr_db:.1f} dB;"
        f" verification fails below {FLOOR:g} dB; calibrate with data like the real inputs, or"
        " choose another --quantize"
    )
