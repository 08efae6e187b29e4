"""Reports made by hand."""

from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.report import Report

GOOD = Comparison(
    "ort-cpu", "states", "n1t1", "y", "output", 1e-7, 2.0, 1e-6, 1e-7, (0, 1), 0.25, 0.5
)


def report_of(*comparisons, failed_checks=(), skipped=()):
    """A report of a bundle, with nothing but these results."""
    return Report("ref", "b", "0f", {"python": "3"}, comparisons, failed_checks, skipped)
