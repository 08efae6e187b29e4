"""What to verify on every runtime: checks, golden cases, budgets, and how to load."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rnn_deploy.bundle import Bundle, GoldenCase, cases_of
from rnn_deploy.bundle.manifest import Quantisation
from rnn_deploy.bundle.proof import Proof, ReferenceDistances, proof_of
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.spec import STREAM, Array, EntryPoint
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.judge.checks import CHECKS, RUNNING
from rnn_deploy.verifying.judge.given import GivenSizes, given_cases
from rnn_deploy.verifying.judge.quantisation import checks_for, noise_budgets
from rnn_deploy.verifying.judge.sizes import SizeSources
from rnn_deploy.verifying.judge.tolerance import (
    GIVEN,
    SIZES,
    Budgets,
    UserTolerance,
    derive_budgets,
)
from rnn_deploy.verifying.report.observation import Record, record_nothing

MOST_KEPT = 32 * 2**20  # the most bytes of golden vectors that stay in memory


@dataclass(frozen=True)
class VerificationOptions:
    """The options of a verification; see `verify`."""

    checks: Sequence[str] = tuple(CHECKS)
    cases: Sequence[GoldenCase] | None = None
    tolerance: UserTolerance = field(default_factory=UserTolerance)
    run: RunOptions = field(default_factory=RunOptions)
    original: OriginalModel | None = None
    record: Record = record_nothing
    given: GivenSizes = field(default_factory=GivenSizes)


@dataclass(frozen=True)
class VerificationRequest:
    """The options of a verification, together with facts of the bundle.

    states: the names of all final states. read: reads the golden cases, one at a time. bounds: the
    largest errors of the states in the case for `running-bound`. distances: of the references.
    """

    options: VerificationOptions
    budgets: Budgets
    states: frozenset[str]
    read: Callable[[], Iterable[GoldenCase]]
    entries: Sequence[EntryPoint]
    bounds: Mapping[str, Array]
    distances: tuple[ReferenceDistances, ...]

    @property
    def checks(self) -> Sequence[str]:
        """The checks to run."""
        given = (GIVEN,) if self.options.given else ()
        return *self.options.checks, *given

    def for_quantised(self, quantisation: Quantisation | None) -> "VerificationRequest":
        """Return the request for a runtime with this quantisation; None means float32."""
        return replace(
            self,
            options=replace(self.options, checks=checks_for(quantisation, self.options.checks)),
            budgets=replace(self.budgets, noise=noise_budgets(quantisation)),
        )


def request_for(bundle: Bundle, options: VerificationOptions) -> VerificationRequest:
    """Return what to verify of a bundle; raise InputError for an unknown check or tensor."""
    unknown = [name for name in options.checks if name not in CHECKS]
    if unknown:
        raise InputError(
            "E-VERIFY-UNKNOWN-CHECK",
            f"there is no check {', '.join(unknown)}; the checks are {', '.join(CHECKS)}",
        )
    entries = bundle.manifest.entries
    dtypes = {tensor.name: tensor.dtype for entry in entries for tensor in entry.all_outputs}
    options.tolerance.check_names(dtypes)
    proof = proof_of(bundle)
    given = given_cases(bundle, options.given, options.original)
    read = _reader(bundle, options.cases, proof, options.checks, given)
    return VerificationRequest(
        options=options,
        budgets=derive_budgets(read, dtypes, options.tolerance),
        states=frozenset(state.next_name for entry in entries for state in entry.states),
        read=read,
        entries=entries,
        bounds={n: r.bound for n, r in proof.running.items() if r.bound is not None},
        distances=proof.votes,
    )


def _reader(
    bundle: Bundle,
    cases: Sequence[GoldenCase] | None,
    proof: Proof,
    checks: Sequence[str],
    extra: Sequence[GoldenCase] = (),
) -> Callable[[], Iterable[GoldenCase]]:
    """Return a function that reads the cases, then derived cases, then `extra`.

    The file is read once if its cases fit in MOST_KEPT bytes, otherwise again in every call.
    """
    running: list[GoldenCase] = []
    if proof.running:
        true = {name: states.true for name, states in proof.running.items()}
        reference = {name: states.reference for name, states in proof.running.items()}
        running = [
            GoldenCase("followed", (STREAM,), (), proof.feeds, reference, true, check=RUNNING)
        ]
    entries = bundle.manifest.entries if SIZES in checks else ()

    def read() -> Iterator[GoldenCase]:
        sources = SizeSources(entries)
        given = cases_of(bundle, special=True) if cases is None else cases
        case = None
        for case in given:
            sources.note(case)
            yield case
        yield from sources.cases()
        yield from extra
        if case is not None:  # alone, without other cases, it proves nothing
            yield from running

    if cases is None and _golden_bytes(bundle) > MOST_KEPT:
        return read
    kept: list[GoldenCase] = []

    def read_once() -> list[GoldenCase]:
        if not kept:
            kept.extend(read())
        return kept

    return read_once


def _golden_bytes(bundle: Bundle) -> int:
    return sum(r.size for r in bundle.manifest.files if r.path == bundle.manifest.golden)
