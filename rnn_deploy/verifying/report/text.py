"""Comparisons and reports as text: on a terminal, in a file and in a failed test."""

import math
from collections.abc import Sequence

from rnn_deploy.verifying.diagnose.file_verdicts import file_verdicts
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.cause import cause_of
from rnn_deploy.verifying.report.report import Report, worst_of_each


def number(value: float) -> str:
    """Return an error with two significant digits."""
    return f"{value:.1e}" if math.isfinite(value) and value else str(value).removesuffix(".0")


def worst_place(comparison: Comparison) -> str:
    """Return the case, and the index of its largest error."""
    index = list(comparison.worst_index) if comparison.max_abs else ""
    return f"{comparison.case}{index}"


def budget_used(comparison: Comparison) -> float:
    """Return the error as a part of its budget; infinite if there is an error and no budget."""
    if comparison.max_abs == 0:
        return 0.0
    return comparison.max_abs / comparison.budget if comparison.budget > 0 else math.inf


def comparison_line(comparison: Comparison) -> str:
    """Return a comparison as one line: place, value and expected value, error and budget."""
    c = comparison
    there = c.reference_error_there
    own = "" if there is None else f", TensorFlow's own error there {number(there)}"
    return (
        f"{c.runtime} {c.check}: {c.kind} '{c.name}' in {worst_place(c)}: found {c.found:.9g},"
        f" expected {c.expected:.9g}, error {number(c.max_abs)}, budget {number(c.budget)}{own}"
    )


def placement_lines(report: Report) -> list[str]:
    """Return where the nodes of each runtime ran, or that it is unknown."""
    lines = []
    for runtime in dict.fromkeys(node.runtime for node in report.node_devices):
        nodes = [node for node in report.node_devices if node.runtime == runtime]
        providers = dict.fromkeys(node.provider for node in nodes)
        counts = (f"{sum(n.count for n in nodes if n.provider == p)} on {p}" for p in providers)
        lines.append(f"nodes of {runtime} ran: {', '.join(counts)}")
    names = ", ".join(unknown.runtime for unknown in report.unknown_placements)
    if names:
        lines.append(f"placement unknown: {names} do not report where nodes ran")
    return lines


def environment_line(report: Report) -> str:
    """Return the environment of the verification in one line."""
    return ", ".join(f"{key} {value}" for key, value in report.environment.items())


def failure_text(report: Report, most: int = 10) -> str:
    """Return why a report failed: findings, failed checks, the worst error of each tensor."""
    lines = [f"{report.bundle}: verification {report.verdict}", f"cause: {cause_of(report)}"]
    for finding in report.findings[:most]:
        first, *others = finding.lines
        lines += ["", first, *(f"  {line}" for line in others)]
    lines += ["", *map(str, file_verdicts(report.comparisons))]
    lines += ["", *map(str, report.failed_checks[:most])] if report.failed_checks else []
    failed = [c for c in worst_of_each(report.comparisons) if not c.passed]
    if failed:
        lines += ["", *_table(failed[:most])]
    more = max(len(failed), len(report.findings), len(report.failed_checks)) - most
    if more > 0:
        lines.append(f"and {more} more; rnn-deploy verify {report.bundle} shows all")
    if not report.comparisons:
        lines += [f"not verified on {s.runtime}: {s.reason}" for s in report.skipped]
    return "\n".join(lines)


def _table(comparisons: Sequence[Comparison]) -> list[str]:
    """Return comparisons as lines with columns."""
    rows = [("runtime", "check", "tensor", "largest error", "budget", "worst case")]
    rows += [
        (c.runtime, c.check, f"{c.kind} {c.name}", number(c.max_abs), number(c.budget),
         worst_place(c))
        for c in comparisons
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
