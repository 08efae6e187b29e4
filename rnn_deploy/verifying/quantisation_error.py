"""Measure the error of a quantised bundle on export.

The runtime has its own process, so that a file that crashes it does not abort the export. For each
output and state, over all cases and every check that applies, with the oracle's values t and the
error e:

    SNR = 10 log10( sum t^2 / sum e^2 )   dB
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.bundle.appraisal import Appraisal, FileErrors
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
from rnn_deploy.verifying.checked_runner import FilesRun, load_checked
from rnn_deploy.verifying.judge.checks import CHECKS, applies
from rnn_deploy.verifying.judge.distance import errors
from rnn_deploy.verifying.judge.quantisation import (
    FLOOR,
    below_floor,
    checks_for,
)
from rnn_deploy.verifying.judge.subject import CheckSubject

# These need more than one call or runtime, and measure no further error.
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


Sums = dict[str, _ErrorSums]  # by tensor


def appraise(
    bundle: Bundle, cases: Sequence[GoldenCase], held_out: Sequence[GoldenCase] = ()
) -> Appraisal:
    """Return the errors of a quantised bundle on the first runtime for its format, and warnings.

    cases: golden vectors and calibration data with their true values. held_out: other real inputs,
    on which the errors of each model file are measured; without them, on `cases`. Raises
    UnsupportedModelError if the runtime refuses the file or aborts.
    """
    quantisation = bundle.manifest.quantisation
    assert quantisation is not None
    runtime = next(r for r in RUNTIMES.values() if r.format == quantisation.format)
    try:
        with staying([runtime]) as (isolated,):
            known = file_sums(bundle, isolated, cases)
            other = file_sums(bundle, isolated, held_out) if held_out else known
    except (InputError, RuntimeAbortedError) as error:
        raise UnsupportedModelError(
            "E-MODEL-QUANTISED-NOT-RUN",
            f"{runtime.name} does not run model '{bundle.manifest.source.name}' quantised to"
            f" {quantisation.mode}: {one_line(error)}; export with another --quantize, or"
            " without it, and please report this with the model",
        ) from error
    every = [known, other] if held_out else [known]
    costs = _totals(sums for each in every for sums in each.values())
    # A result that several files computed together says nothing about a single one.
    single = {files[0]: sums for files, sums in other.items() if len(files) == 1}
    files = (FileErrors(file, _totals([sums])) for file, sums in single.items())
    return Appraisal(costs, tuple(_warning(c) for c in costs if below_floor(c)), tuple(files))


def errors_on(
    bundle: Bundle, runtime: Runtime, cases: Iterable[GoldenCase]
) -> tuple[QuantisationError, ...]:
    """Return the error of each output and state on `runtime`, over every check that applies."""
    return _totals(file_sums(bundle, runtime, cases).values())


def file_sums(
    bundle: Bundle, runtime: Runtime, cases: Iterable[GoldenCase]
) -> dict[tuple[str, ...], Sums]:
    """Return the sums of each tensor, by the model files that computed it."""
    states = {s.next_name for entry in bundle.manifest.entries for s in entry.states}
    quantisation = bundle.manifest.quantisation
    by_file: dict[tuple[str, ...], Sums] = {}
    names = [entry.name for entry in bundle.manifest.entries]
    ran = FilesRun()
    with ExitStack() as stack:
        runners = {n: load_checked(runtime, bundle, RunOptions(n), ran) for n in names}
        for runner in runners.values():
            stack.callback(runner.close)
        for check, case, results in _results(CheckSubject(runners), cases, quantisation):
            file = ran.take() or (runtime.name,)
            for name, value in results.items():
                kind = "state" if name in states else "output"
                summed = by_file.setdefault(file, {}).setdefault(name, _ErrorSums(kind))
                _add(summed, value, case.truth[name], count=check == SEQUENCE)
    return by_file


def _totals(parts: Iterable[Sums]) -> tuple[QuantisationError, ...]:
    """Return the errors of each tensor over all parts."""
    whole: Sums = {}
    for part in parts:
        for name, new in part.items():
            old = whole.get(name, _ErrorSums(new.kind))
            whole[name] = _ErrorSums(
                new.kind,
                old.signal + new.signal,
                old.noise + new.noise,
                max(old.max_abs, new.max_abs),
                old.labels + new.labels,
                old.changed + new.changed,
            )
    return tuple(_total(name, summed) for name, summed in whole.items())


def _results(
    subject: CheckSubject, cases: Iterable[GoldenCase], quantisation: Quantisation | None
) -> Iterator[tuple[str, GoldenCase, Mapping[str, Array]]]:
    """Yield the results of every check that compares with the truth, for every case."""
    checks = checks_for(quantisation, [check for check in CHECKS if check not in _NOT_MEASURED])
    for case in cases:
        for check in checks:
            for result in CHECKS[check](subject, case) if applies(check, case) else ():
                if result.expected is None:  # other results are not compared with the case's truth
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
