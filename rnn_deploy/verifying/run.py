"""Cases x runtimes x checks: run everything, compare everything, one report.

Golden cases are read one at a time, once for TensorFlow's own errors and once per runtime, so
memory does not grow with their number.
"""

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rnn_deploy.bundle import Bundle, Case, read_cases
from rnn_deploy.errors import InputError, RnnDeployError
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.registry import runtimes_for
from rnn_deploy.spec import Array
from rnn_deploy.verifying.checks import CHECKS
from rnn_deploy.verifying.compare import Comparison, compare
from rnn_deploy.verifying.cost import noise_budgets
from rnn_deploy.verifying.report import Fault, Report
from rnn_deploy.verifying.tolerance import budget, reference_errors, scales

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """What all cases together say of each tensor: TensorFlow's own error, and its magnitude.

    noise: the budget of what quantisation did to it on the runtime, where it is quantised.
    """

    errors: Mapping[str, float]
    scales: Mapping[str, float]
    noise: Mapping[str, float] = field(default_factory=dict)


def verify(
    bundle: Bundle,
    *,
    runtimes: Sequence[Runtime] | None = None,
    cases: Sequence[Case] | None = None,
    checks: Sequence[str] = tuple(CHECKS),
    options: RunOptions | None = None,
    progress: Progress = lambda step: None,
) -> Report:
    """Compare runtimes with the golden vectors of `bundle`, or with `cases`.

    runtimes: those to check, by default all that are here; one that was named and is not here
    raises RuntimeUnavailableError. InputError for an unknown check. A report without a single
    comparison has not passed.
    """
    unknown = [name for name in checks if name not in CHECKS]
    if unknown:
        raise InputError(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    chosen, skipped = (runtimes, []) if runtimes is not None else runtimes_for(bundle)
    read = _reader(bundle, cases)
    known = Known(reference_errors(read()), scales(read()))
    comparisons: list[Comparison] = []
    faults: list[Fault] = []
    for runtime in chosen:
        progress(f"verifying on {runtime.name}")
        noise = noise_budgets(bundle.manifest.quantisation, runtime.format)
        known = replace(known, noise=noise)
        for result in _verified(bundle, runtime, read(), checks, known, options):
            (comparisons if isinstance(result, Comparison) else faults).append(result)  # type: ignore[arg-type]
    return Report(
        reference=_truth_of(bundle, cases),
        bundle=str(bundle.root),
        digest=bundle.digest,
        environment=_environment(chosen),
        comparisons=tuple(comparisons),
        faults=tuple(faults),
        skipped=tuple(skipped),
    )


def _verified(
    bundle: Bundle,
    runtime: Runtime,
    cases: Iterable[Case],
    checks: Sequence[str],
    known: Known,
    options: RunOptions | None,
) -> Iterator[Comparison | Fault]:
    base = options or RunOptions()
    runners = {
        entry.name: runtime.load(bundle, replace(base, entry=entry.name))
        for entry in bundle.manifest.entries
    }
    try:
        for case in cases:
            for check in checks:
                yield from _checked(runners, runtime.name, check, case, known)
    finally:
        for runner in runners.values():
            runner.close()


def _checked(
    runners: Mapping[str, Runner],
    runtime: str,
    check: str,
    case: Case,
    known: Known,
) -> Iterator[Comparison | Fault]:
    try:
        actual = CHECKS[check](runners, case)
    except RnnDeployError as error:
        yield Fault(runtime, check, case.name, str(error))
        return
    entries = [runner.entry for runner in runners.values()]
    states = {s.next_name for entry in entries for s in entry.states}
    dtypes = {tensor.name: tensor.dtype for entry in entries for tensor in entry.all_outputs}
    for name, value in (actual or {}).items():
        own, scale = known.errors.get(name), known.scales.get(name, 0.0)
        allowed = budget(case.truth[name], own, scale, dtypes[name])
        allowed = max(allowed, known.noise.get(name, 0.0))
        yield _compared(runtime, check, case, name, value, name in states, own, allowed)


def _compared(
    runtime: str,
    check: str,
    case: Case,
    name: str,
    value: Array,
    is_state: bool,
    own_error: float | None,
    allowed: float,
) -> Comparison:
    return compare(
        value,
        case.truth[name],
        runtime=runtime,
        check=check,
        case=case.name,
        name=name,
        kind="state" if is_state else "output",
        budget=allowed,
        reference_error=own_error,
    )


def _reader(bundle: Bundle, cases: Sequence[Case] | None) -> Callable[[], Iterable[Case]]:
    if cases is not None:
        return lambda: cases
    place = bundle.checked(bundle.manifest.golden)
    return lambda: read_cases(place)


def _truth_of(bundle: Bundle, cases: Sequence[Case] | None) -> str:
    how = "golden vectors of the bundle" if cases is None else "recomputed"
    tensorflow = bundle.manifest.tools.get("tensorflow", "?")
    return f"the Keras model under TensorFlow {tensorflow}, judged in float64 where known; {how}"


def _environment(runtimes: Sequence[Runtime]) -> dict[str, str]:
    facts = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }
    return facts | {runtime.name: runtime.version() or "?" for runtime in runtimes}
