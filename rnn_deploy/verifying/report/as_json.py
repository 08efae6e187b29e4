"""A report as JSON. docs/reference/report.md describes its keys."""

import dataclasses
import json

from rnn_deploy.bundle.json_values import finite
from rnn_deploy.verifying.diagnose.file_verdicts import file_verdicts
from rnn_deploy.verifying.report.cause import cause_of
from rnn_deploy.verifying.report.report import Report

SCHEMA = 1  # raise it if a key is removed or changes its meaning


def json_from_report(report: Report) -> str:
    """Return the report as JSON; infinity and NaN become strings, since JSON has neither."""
    data = dataclasses.asdict(report)
    for comparison, entry in zip(report.comparisons, data["comparisons"], strict=True):
        entry["passed"] = comparison.passed
    for distances, entry in zip(
        report.reference_distances, data["reference_distances"], strict=True
    ):
        entry["alone"] = distances.alone
    for finding, entry in zip(report.findings, data["findings"], strict=True):
        entry["lines"] = list(finding.lines)
    data["files"] = [dataclasses.asdict(each) for each in file_verdicts(report.comparisons)]
    data |= {"passed": report.passed, "verdict": report.verdict, "schema": SCHEMA}
    data |= {"cause": cause_of(report), "tested": report.tested, "not_tested": report.not_tested}
    return json.dumps(finite(data), indent=1, allow_nan=False) + "\n"
