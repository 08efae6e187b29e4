"""A report as JUnit XML: a suite for each runtime, a test case for each check of each case.

CI servers read this format (testsuites, testsuite, testcase with failure, error or skipped). A
runtime that was skipped is a suite with one skipped test case.
"""

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.cause import cause_of
from rnn_deploy.verifying.report.report import FailedCheck, Report
from rnn_deploy.verifying.report.text import comparison_line, placement_lines

# Characters that XML 1.0 cannot contain, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_from_report(report: Report) -> str:
    """Return the report as the text of a JUnit XML file."""
    root = ET.Element("testsuites", name=f"rnn-deploy verify {_text(report.bundle)}")
    results: list[Comparison | FailedCheck] = [*report.comparisons, *report.failed_checks]
    for runtime in dict.fromkeys(item.runtime for item in results):
        root.append(_suite(report, runtime))
    for skipped in report.skipped:
        suite = _titled(report, skipped.runtime)
        case = ET.SubElement(suite, "testcase", classname=skipped.runtime, name="all checks")
        ET.SubElement(case, "skipped", message=_text(skipped.reason))
        root.append(suite)
    if not report.passed and not report.failed_checks and all(c.passed for c in report.comparisons):
        # No test case fails: nothing was compared, or the comparisons prove nothing.
        suite = _titled(report, "verification")
        case = ET.SubElement(suite, "testcase", classname="verification", name="comparisons")
        message = report.verdict.removeprefix("FAILED: ")
        ET.SubElement(case, "failure", message=_text(message), type="ProvesNothing")
        root.append(suite)
    for suite in root:
        _count(suite, [suite])
    _count(root, list(root))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _instant(date: str) -> str:
    """Return the report's date as ISO 8601, empty without a date."""
    day, _, clock = date.removesuffix(" UTC").partition(" ")
    return f"{day}T{clock}" if clock else ""


def _suite(report: Report, runtime: str) -> ET.Element:
    suite = _titled(report, runtime)
    comparisons = [c for c in report.comparisons if c.runtime == runtime]
    errors = [e for e in report.failed_checks if e.runtime == runtime]
    both: list[Comparison | FailedCheck] = [*comparisons, *errors]
    for check, name in dict.fromkeys((item.check, item.case) for item in both):
        case = ET.SubElement(suite, "testcase", classname=f"{runtime}.{check}", name=_text(name))
        case.set("time", f"{_seconds(report, runtime, check, name):.6f}")
        here = [c for c in comparisons if (c.check, c.case) == (check, name)]
        findings = [
            f for f in report.findings if (f.runtime, f.check, f.case) == (runtime, check, name)
        ]
        _add_outcome(
            case, here, findings, [e for e in errors if (e.check, e.case) == (check, name)]
        )
    suite.set("time", f"{sum(t.seconds for t in report.timings if t.runtime == runtime):.6f}")
    return suite


def _seconds(report: Report, runtime: str, check: str, case: str) -> float:
    """Return how long a check of a case took; 0 if unknown, as for a placement."""
    alike = (t for t in report.timings if (t.runtime, t.check, t.case) == (runtime, check, case))
    return sum(t.seconds for t in alike)


def _titled(report: Report, name: str) -> ET.Element:
    suite = ET.Element("testsuite", name=name)
    when = _instant(report.environment.get("date", ""))
    if when:
        suite.set("timestamp", when)
    properties = ET.SubElement(suite, "properties")
    facts = {
        "bundle": report.bundle,
        "digest": report.digest,
        "truth": report.reference,
        "budgets": report.tolerance,
        "placement": "; ".join(placement_lines(report)),
        "notes": "; ".join(report.notes),
        "cause": cause_of(report),
        "coverage": "; ".join(filter(None, (report.tested, report.not_tested))),
    }
    for key, value in (facts | report.environment).items():
        ET.SubElement(properties, "property", name=_text(key), value=_text(value))
    return suite


def _add_outcome(
    case: ET.Element,
    comparisons: Iterable[Comparison],
    findings: Iterable[Finding],
    errors: Iterable[FailedCheck],
) -> None:
    failed = [comparison_line(comparison) for comparison in comparisons if not comparison.passed]
    if failed:
        failed = [*(line for finding in findings for line in finding.lines), *failed]
        failure = ET.SubElement(case, "failure", message=_text(failed[0]), type="OutsideBudget")
        failure.text = _text("\n".join(failed))
    for error in errors:
        ET.SubElement(case, "error", message=_text(error.message), type="CheckError")


def _count(element: ET.Element, suites: Iterable[ET.Element]) -> None:
    cases = [case for suite in suites for case in suite.iter("testcase")]
    element.set("tests", str(len(cases)))
    kinds = {"failures": "failure", "errors": "error"}
    if element.tag == "testsuite":  # the schema has no such attribute for testsuites
        kinds["skipped"] = "skipped"
    for attribute, tag in kinds.items():
        element.set(attribute, str(sum(case.find(tag) is not None for case in cases)))


def _text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)
