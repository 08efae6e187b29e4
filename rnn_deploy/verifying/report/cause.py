"""The cause of a failed verification in one line, which is printed before the table.

failed checks, verdicts on files, findings --cause_of--> "stream.onnx is wrong: layer 'rnn', ..."
"""

from collections.abc import Iterable, Iterator, Sequence

from rnn_deploy.verifying.diagnose.file_verdicts import FileVerdicts, file_verdicts
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.judge.checks import HAND_OVER
from rnn_deploy.verifying.judge.weights import CHECK as WEIGHTS
from rnn_deploy.verifying.report.report import FailedCheck, Report

MOST = 4  # causes in the line


def cause_of(report: Report) -> str:
    """Return in one line why a report failed; empty if it passed."""
    if report.passed:
        return ""
    parts = list(dict.fromkeys(_parts(report))) or [report.verdict.removeprefix("FAILED: ")]
    more = len(parts) - MOST
    return "; ".join(parts[:MOST]) + (f"; and {more} more" if more > 0 else "")


def _parts(report: Report) -> Iterator[str]:
    changed = [f for f in report.failed_checks if f.check == WEIGHTS]
    yield from (f"{f.case} is wrong: {f.message}" for f in changed)
    blamed = {f.case for f in changed}
    verdicts = {v.runtime: v for v in file_verdicts(report.comparisons)}
    wrong = dict.fromkeys(c.runtime for c in report.comparisons if not c.passed)
    only_handed_over = [name for name in wrong if _only_handed_over(report, name)]
    by_subject: dict[str, list[str]] = {}
    explained: list[str] = []
    for runtime in (name for name in wrong if name not in only_handed_over):
        if _explained(verdicts.get(runtime), report, blamed):
            explained.append(runtime)
        else:
            subject = _subject(runtime, verdicts.get(runtime), report)
            by_subject.setdefault(subject, []).append(runtime)
    fault = _fault(report.findings, explained)
    if fault:
        yield f"seen on {', '.join(explained)}{fault}"
    for subject, runtimes in by_subject.items():
        where = "" if subject in runtimes else f" on {', '.join(runtimes)}"
        verb = "are" if " and " in subject else "is"
        yield f"{subject} {verb} wrong{where}{_fault(report.findings, runtimes)}"
    for runtime in only_handed_over:
        yield f"{runtime} fails only where {_partner(report, runtime)}"
    for runtime, message in _errors(report.failed_checks):
        yield f"{runtime}: {message}"


def _explained(verdicts: FileVerdicts | None, report: Report, blamed: set[str]) -> bool:
    """Return whether every wrong file has changed weights, or reads a file that has them."""
    if verdicts is None or not verdicts.wrong:
        return False
    readers = {user for file in blamed for user in report.shared_weights.get(file, ())}
    return all(file.partition(",")[0] in readers | blamed for file in verdicts.wrong)


def _subject(runtime: str, verdicts: FileVerdicts | None, report: Report) -> str:
    """Return the wrong files; the file with their weights if all that use it are wrong."""
    if verdicts is None:
        return runtime
    for weights, users in report.shared_weights.items():
        used = [file for file in (*verdicts.wrong, *verdicts.right) if file in users]
        if len(used) > 1 and all(file in verdicts.wrong for file in used):
            others = [file for file in verdicts.wrong if file not in users]
            return " and ".join((f"{weights} (all of {', '.join(used)} read it)", *others))
    return (" and " if verdicts.certain else " or ").join(verdicts.wrong)


def _fault(findings: Sequence[Finding], runtimes: Sequence[str]) -> str:
    own = [f for f in findings if f.runtime in runtimes]
    named = next((f for f in own if f.layer and f.fault), None) or next(
        (f for f in own if f.layer), None
    )
    if named is not None:
        fault = named.fault or f"first in its state {named.role}"
        return f": layer '{named.layer}', {fault}"
    tensor = next((f.tensor for f in own if f.tensor), "")
    return f": first in '{tensor}'" if tensor else ""


def _only_handed_over(report: Report, runtime: str) -> bool:
    failed = [c for c in report.comparisons if c.runtime == runtime and not c.passed]
    others = {c.runtime for c in report.comparisons if not c.passed and c.check != HAND_OVER}
    return all(c.check == HAND_OVER for c in failed) and bool(others)


def _partner(report: Report, runtime: str) -> str:
    failed = (c for c in report.comparisons if c.runtime == runtime and not c.passed)
    partner = next(iter(failed)).detail.removeprefix("resumed on ")
    return f"{partner} continues its states"


def _errors(failed: Iterable[FailedCheck]) -> list[tuple[str, str]]:
    """Return each runtime and message once."""
    others = (f for f in failed if f.check != WEIGHTS)
    return list(dict.fromkeys((f.runtime, f.message) for f in others))
