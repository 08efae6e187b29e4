"""What is asked of every runtime: the checks, the cases, the budgets, how to load."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rnn_deploy.bundle import Bundle, GoldenCase, cases_of
from rnn_deploy.bundle.manifest import Quantisation
from rnn_deploy.bundle.proof import Proof, ReferenceDistances, proof_of
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.spec import STREAM, Array, EntryPoint
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.judge.checks import CHECKS, RUNNING
from rnn_deploy.verifying.judge.quantised import fit_checks, noise_budgets
from rnn_deploy.verifying.judge.tolerance import Budgets, UserTolerance, tolerance_of
from rnn_deploy.verifying.report.evidence import Record, nothing


@dataclass(frozen=True)
class VerificationRequest:
    """What is asked; see `verify`. bounds: of the states of the case for `running-bound`."""

    checks: Sequence[str]
    tolerance: Budgets
    states: frozenset[str]
    options: RunOptions
    read: Callable[[], Iterable[GoldenCase]]
    entries: Sequence[EntryPoint]
    bounds: Mapping[str, Array]
    votes: tuple[ReferenceDistances, ...] = ()
    original: OriginalModel | None = None
    record: Record = nothing


def verification_of(
    bundle: Bundle,
    cases: Sequence[GoldenCase] | None,
    checks: Sequence[str],
    options: RunOptions | None,
    asked: UserTolerance,
    original: OriginalModel | None,
    record: Record,
) -> VerificationRequest:
    """What is asked of a bundle's runtimes; InputError for an unknown check or tensor."""
    unknown = [name for name in checks if name not in CHECKS]
    if unknown:
        raise InputError(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    entries = bundle.manifest.entries
    dtypes = {tensor.name: tensor.dtype for entry in entries for tensor in entry.all_outputs}
    asked.check_names(dtypes)
    proof = proof_of(bundle)
    read = _reader(bundle, cases, proof)
    return VerificationRequest(
        checks=checks,
        tolerance=tolerance_of(read, dtypes, asked),
        states=frozenset(state.next_name for entry in entries for state in entry.states),
        options=options or RunOptions(),
        read=read,
        entries=entries,
        bounds={n: r.bound for n, r in proof.running.items() if r.bound is not None},
        votes=proof.votes,
        original=original,
        record=record,
    )


def fitted(asking: VerificationRequest, quantisation: Quantisation | None) -> VerificationRequest:
    """What is asked of a runtime whose artifact is quantised so."""
    tolerance = replace(asking.tolerance, noise=noise_budgets(quantisation))
    return replace(asking, checks=fit_checks(quantisation, asking.checks), tolerance=tolerance)


def _reader(
    bundle: Bundle, cases: Sequence[GoldenCase] | None, proof: Proof
) -> Callable[[], Iterable[GoldenCase]]:
    """The cases, each time anew; last the one whose running bound is known."""
    followed: list[GoldenCase] = []
    if proof.running:
        true = {name: running.true for name, running in proof.running.items()}
        ours = {name: running.reference for name, running in proof.running.items()}
        followed = [GoldenCase("followed", (STREAM,), (), proof.feeds, ours, true, check=RUNNING)]

    def read() -> Iterator[GoldenCase]:
        case = None
        for case in cases_of(bundle, special=True) if cases is None else cases:
            yield case
        if case is not None:  # where there is nothing else, it proves nothing
            yield from followed

    return read
