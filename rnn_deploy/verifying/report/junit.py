"""A report as JUnit XML: a suite for each runtime, a test case for each check of each case.

The form that CI servers read (testsuites, testsuite, testcase with failure, error or skipped).
A runtime that was left out is a suite with one skipped test case, so that it is seen.
"""

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.report import Report, UnfinishedCheck
from rnn_deploy.verifying.report.words import placement_lines, said_of

# What XML 1.0 cannot hold, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_from_report(report: Report) -> str:
    """The report as the text of a JUnit XML file."""
    root = ET.Element("testsuites", name=f"rnn-deploy verify {_text(report.bundle)}")
    found: list[Comparison | UnfinishedCheck] = [*report.comparisons, *report.faults]
    for runtime in dict.fromkeys(item.runtime for item in found):
        root.append(_suite(report, runtime))
    for skipped in report.skipped:
        suite = _titled(report, skipped.runtime)
        case = ET.SubElement(suite, "testcase", classname=skipped.runtime, name="all checks")
        ET.SubElement(case, "skipped", message=_text(skipped.reason))
        root.append(suite)
    if not report.passed and not report.faults and all(c.passed for c in report.comparisons):
        # No test case shows it: nothing was compared, or what was proves nothing.
        suite = _titled(report, "verification")
        case = ET.SubElement(suite, "testcase", classname="verification", name="comparisons")
        said = report.verdict.removeprefix("FAILED: ")
        ET.SubElement(case, "failure", message=_text(said), type="ProvesNothing")
        root.append(suite)
    for suite in root:
        _count(suite, [suite])
    _count(root, list(root))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _instant(date: str) -> str:
    """The report's date as ISO 8601, as far as it is one."""
    day, _, clock = date.removesuffix(" UTC").partition(" ")
    return f"{day}T{clock}" if clock else ""


def _suite(report: Report, runtime: str) -> ET.Element:
    suite = _titled(report, runtime)
    comparisons = [c for c in report.comparisons if c.runtime == runtime]
    faults = [f for f in report.faults if f.runtime == runtime]
    both: list[Comparison | UnfinishedCheck] = [*comparisons, *faults]
    for check, name in dict.fromkeys((item.check, item.case) for item in both):
        case = ET.SubElement(suite, "testcase", classname=f"{runtime}.{check}", name=_text(name))
        case.set("time", f"{_seconds(report, runtime, check, name):.6f}")
        of_case = [c for c in comparisons if (c.check, c.case) == (check, name)]
        found = [
            finding
            for finding in report.findings
            if (finding.runtime, finding.check, finding.case) == (runtime, check, name)
        ]
        _judge(case, of_case, found, [f for f in faults if (f.check, f.case) == (check, name)])
    suite.set("time", f"{sum(t.seconds for t in report.timings if t.runtime == runtime):.6f}")
    return suite


def _seconds(report: Report, runtime: str, check: str, case: str) -> float:
    """How long a check of a case took; 0 where that is not known (a placement, say)."""
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
    }
    for key, value in (facts | report.environment).items():
        ET.SubElement(properties, "property", name=_text(key), value=_text(value))
    return suite


def _judge(
    case: ET.Element,
    comparisons: Iterable[Comparison],
    findings: Iterable[Finding],
    faults: Iterable[UnfinishedCheck],
) -> None:
    failed = [said_of(comparison) for comparison in comparisons if not comparison.passed]
    if failed:
        failed = [*(line for finding in findings for line in finding.lines), *failed]
        failure = ET.SubElement(case, "failure", message=_text(failed[0]), type="OutsideBudget")
        failure.text = _text("\n".join(failed))
    for fault in faults:
        ET.SubElement(case, "error", message=_text(fault.message), type="BrokeOff")


def _count(element: ET.Element, suites: Iterable[ET.Element]) -> None:
    cases = [case for suite in suites for case in suite.iter("testcase")]
    element.set("tests", str(len(cases)))
    kinds = {"failures": "failure", "errors": "error"}
    if element.tag == "testsuite":  # the schema knows no such attribute of the whole
        kinds["skipped"] = "skipped"
    for attribute, tag in kinds.items():
        element.set(attribute, str(sum(case.find(tag) is not None for case in cases)))


def _text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)
