"""Cases x runtimes x checks: run everything, compare everything, one report.

Golden cases are read one at a time, once for TensorFlow's own errors and once per runtime, so
memory does not grow with their number.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from rnn_deploy.bundle import Bundle, Case, cases_of
from rnn_deploy.errors import InputError, MisplacedError, RnnDeployError
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.isolation import isolated
from rnn_deploy.runtimes.registry import runtimes_for
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.verifying.checks import CHECKS
from rnn_deploy.verifying.compare import Comparison, compare
from rnn_deploy.verifying.environment import environment
from rnn_deploy.verifying.evidence import Observation, Record, nothing, place_in_time
from rnn_deploy.verifying.placing import CHECK as PLACEMENT
from rnn_deploy.verifying.placing import placed
from rnn_deploy.verifying.report import Fault, Placed, Report
from rnn_deploy.verifying.tolerance import budget, reference_errors, scales

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """What all cases together say of each tensor: TensorFlow's own error, and its magnitude."""

    errors: Mapping[str, float]
    scales: Mapping[str, float]


def verify(
    bundle: Bundle,
    *,
    runtimes: Sequence[Runtime] | None = None,
    cases: Sequence[Case] | None = None,
    checks: Sequence[str] = tuple(CHECKS),
    options: RunOptions | None = None,
    progress: Progress = lambda step: None,
    record: Record = nothing,
    limit: float | None = None,
) -> Report:
    """Compare runtimes with the golden vectors of `bundle`, or with `cases`.

    runtimes: those to check, by default all that are here; one that was named and is not here
    raises RuntimeUnavailableError. record: is given every tensor that was compared. limit:
    isolate runtimes in processes of their own, with so many seconds for a call. InputError for an
    unknown check. A report without a single comparison has not passed.
    """
    unknown = [name for name in checks if name not in CHECKS]
    if unknown:
        raise InputError(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    chosen, skipped = (runtimes, []) if runtimes is not None else runtimes_for(bundle)
    if limit is not None:
        chosen = isolated(chosen, limit)
    read = _reader(bundle, cases)
    known = Known(reference_errors(read()), scales(read()))
    found: list[Comparison | Fault | Placed] = []
    for runtime in chosen:
        progress(f"verifying on {runtime.name}")
        found += _verified(bundle, runtime, read(), checks, known, options, record)
    return Report(
        reference=_truth_of(bundle, cases),
        bundle=str(bundle.root),
        digest=bundle.digest,
        environment=environment(chosen),
        comparisons=tuple(item for item in found if isinstance(item, Comparison)),
        faults=tuple(item for item in found if isinstance(item, Fault)),
        skipped=tuple(skipped),
        placed=tuple(item for item in found if isinstance(item, Placed)),
    )


def _verified(
    bundle: Bundle,
    runtime: Runtime,
    cases: Iterable[Case],
    checks: Sequence[str],
    known: Known,
    options: RunOptions | None,
    record: Record,
) -> Iterator[Comparison | Fault | Placed]:
    base = options or RunOptions()
    runners: dict[str, Runner] = {}
    with ExitStack() as loaded:
        try:
            for entry in bundle.manifest.entries:
                runner = runtime.load(bundle, replace(base, entry=entry.name))
                loaded.callback(runner.close)
                runners[entry.name] = runner
        except MisplacedError as error:
            yield Fault(runtime.name, PLACEMENT, "golden vectors", str(error))
            return
        yield from placed(runtime, bundle, base)
        for case in cases:
            for check in checks:
                yield from _checked(runners, runtime.name, check, case, known, record)


def _checked(
    runners: Mapping[str, Runner],
    runtime: str,
    check: str,
    case: Case,
    known: Known,
    record: Record,
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
        compared = _compared(runtime, check, case, name, value, name in states, own, allowed)
        record(_observed(compared, case, entries, value))
        yield compared


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


def _observed(
    comparison: Comparison, case: Case, entries: Sequence[EntryPoint], value: Array
) -> Observation:
    name = comparison.name
    entry = next(e for e in entries if any(t.name == name for t in e.all_outputs))
    axis, steps = place_in_time(entry, name, case.feeds, value)
    reference = case.reference.get(name) if case.oracle else None
    return Observation(comparison, value, case.truth[name], reference, axis, steps)


def _reader(bundle: Bundle, cases: Sequence[Case] | None) -> Callable[[], Iterable[Case]]:
    if cases is not None:
        return lambda: cases
    return lambda: cases_of(bundle)


def _truth_of(bundle: Bundle, cases: Sequence[Case] | None) -> str:
    how = "golden vectors of the bundle" if cases is None else "recomputed"
    tensorflow = bundle.manifest.tools.get("tensorflow", "?")
    return f"the Keras model under TensorFlow {tensorflow}, judged in float64 where known; {how}"
