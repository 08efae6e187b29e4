"""Comparisons and reports in words, the same on a terminal, in a file and in a failed test."""

import math

from rnn_deploy.verifying.compare import Comparison
from rnn_deploy.verifying.report import Report


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
    """For each runtime that tells, where its recurrent nodes ran."""
    lines = []
    for runtime in dict.fromkeys(node.runtime for node in report.placed):
        nodes = [node for node in report.placed if node.runtime == runtime]
        providers = dict.fromkeys(node.provider for node in nodes)
        counts = (f"{sum(n.provider == p for n in nodes)} on {p}" for p in providers)
        lines.append(f"recurrent nodes of {runtime}, from its profile: {', '.join(counts)}")
    return lines


def environment_line(report: Report) -> str:
    """Where it was verified, in one line."""
    return ", ".join(f"{key} {value}" for key, value in report.environment.items())
