"""Comparisons and reports in words, the same on a terminal, in a file and in a failed test."""

import math
from collections.abc import Sequence

from rnn_deploy.verifying.diagnose.file_verdicts import blames
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.report import Report, worst_of_each


def number(value: float) -> str:
    """An error in two figures."""
    return f"{value:.1e}" if math.isfinite(value) and value else str(value).removesuffix(".0")


def place_of(comparison: Comparison) -> str:
    """The case, and where in it the largest error is."""
    return (
        f"{comparison.case}{list(comparison.worst_index)}"
        if comparison.max_abs
        else comparison.case
    )


def used(comparison: Comparison) -> float:
    """The part of its budget that a comparison used; infinite where it had none."""
    if comparison.max_abs == 0:
        return 0.0
    return comparison.max_abs / comparison.budget if comparison.budget > 0 else math.inf


def said_of(comparison: Comparison) -> str:
    """A comparison in one line: where, found and expected, error and budget."""
    c = comparison
    own = "" if c.reference_error is None else f", TensorFlow's own {number(c.reference_error)}"
    return (
        f"{c.runtime} {c.check}: {c.kind} '{c.name}' in {place_of(c)}: found {c.found:.9g},"
        f" expected {c.expected:.9g}, error {number(c.max_abs)} against a budget of"
        f" {number(c.budget)}{own}"
    )


def placement_lines(report: Report) -> list[str]:
    """For each runtime where its recurrent nodes ran, or that it does not tell."""
    lines = []
    for runtime in dict.fromkeys(node.runtime for node in report.placed):
        nodes = [node for node in report.placed if node.runtime == runtime]
        providers = dict.fromkeys(node.provider for node in nodes)
        counts = (f"{sum(n.provider == p for n in nodes)} on {p}" for p in providers)
        lines.append(f"recurrent nodes of {runtime}, as it tells itself: {', '.join(counts)}")
    names = ", ".join(untold.runtime for untold in report.untold)
    if names:
        lines.append(f"where nodes ran is not told by {names}")
    return lines


def environment_line(report: Report) -> str:
    """Where it was verified, in one line."""
    return ", ".join(f"{key} {value}" for key, value in report.environment.items())


def failure_of(report: Report, most: int = 10) -> str:
    """Why a report has not passed: where it was localised, what broke off, the worst by tensor."""
    lines = [f"{report.bundle}: verification {report.verdict}"]
    for finding in report.findings[:most]:
        first, *others = finding.lines
        lines += ["", first, *(f"  {line}" for line in others)]
    lines += ["", *map(str, blames(report.comparisons))]
    for fault in report.faults[:most]:
        lines += ["", f"broke off: {fault.runtime}, {fault.check}, {fault.case}: {fault.message}"]
    failed = [c for c in worst_of_each(report.comparisons) if not c.passed]
    if failed:
        lines += ["", *_table(failed[:most])]
    left = max(len(failed), len(report.findings), len(report.faults)) - most
    if left > 0:
        lines.append(f"and {left} more; rnn-deploy verify {report.bundle} shows all")
    if not report.comparisons:
        lines += [f"not verified on {s.runtime}: {s.reason}" for s in report.skipped]
    return "\n".join(lines)


def _table(comparisons: Sequence[Comparison]) -> list[str]:
    """Comparisons as lines of columns, plain text."""
    rows = [("runtime", "check", "tensor", "largest error", "budget", "worst case")]
    rows += [
        (c.runtime, c.check, f"{c.kind} {c.name}", number(c.max_abs), number(c.budget), place_of(c))
        for c in comparisons
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
