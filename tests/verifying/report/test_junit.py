"""The JUnit XML that CI servers read."""

from dataclasses import replace
from xml.etree import ElementTree as ET

from rnn_deploy.verifying.diagnose.finding import ElementPair, Finding
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.junit import junit_from_report
from rnn_deploy.verifying.report.report import CheckTiming
from tests.support.observed import ABORTED, observations, report_of

# What the schema that Jenkins' JUnit reader follows allows of each element: attributes, children.
ALLOWED = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp",
         "hostname", "id", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": (
        {"name", "assertions", "time", "classname", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "skipped": ({"message"}, set()),
    "error": ({"type", "message"}, set()),
    "failure": ({"type", "message"}, set()),
}  # fmt: skip


SUMS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def suites_of(report):
    """The suites by name, once the whole is found to be valid and its sums to be right."""
    root = ET.fromstring(junit_from_report(report).encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = ALLOWED[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
    for element in (root, *root):
        cases = list(element.iter("testcase"))
        assert int(element.get("tests")) == len(cases)
        for attribute, tag in SUMS.items():
            if attribute in element.attrib:
                found = sum(case.find(tag) is not None for case in cases)
                assert int(element.get(attribute)) == found
    assert all(case.get("name") and case.get("classname") for case in root.iter("testcase"))
    return {suite.get("name"): suite for suite in root}


def test_one_suite_for_each_runtime_with_its_cases_and_surroundings():
    suites = suites_of(report_of(list(observations()), [ABORTED]))
    assert set(suites) == {"ort-cpu", "litert", "ort-cuda"}
    (good,) = suites["ort-cpu"].findall("testcase")
    assert (good.get("classname"), good.get("name"), len(good)) == ("ort-cpu.states", "n2t6", 0)
    facts = {p.get("name"): p.get("value") for p in suites["litert"].iter("property")}
    assert facts["machine"] == "abacus"
    assert facts["bundle"] == "some/<model> & co"
    assert "nodes of ort-cpu ran: 1 on CPU" in facts["placement"]
    assert suites["litert"].get("timestamp") == "2026-01-01T00:00:00"


def test_a_failure_names_the_place_and_both_values():
    bad, broken = suites_of(report_of(list(observations()), [ABORTED]))["litert"].findall(
        "testcase"
    )
    (failure,) = bad.findall("failure")
    for word in ("litert states", "'y'", "n2t6[1, 4, 2]", "budget 1.0e-05"):
        assert word in failure.get("message")
    assert broken.get("classname") == "litert.chunked"
    assert broken.find("error").get("message") == "ended with SIGABRT while running"


def test_what_was_localised_is_told_first():
    elements = (ElementPair((2,), 1.25, 1.0),)
    finding = Finding("litert", "states", "n2t6", "y", "rnn", "h", 4, 1, elements, 1, 5)
    report = replace(report_of(list(observations())), findings=(finding,))
    (case,) = suites_of(report)["litert"].findall("testcase")
    failure = case.find("failure")
    assert failure.get("message") == finding.lines[0]
    lines = failure.text.splitlines()
    assert lines[:-1] == list(finding.lines)
    assert "n2t6[1, 4, 2]" in lines[-1]


def test_each_test_case_says_how_long_it_took():
    timings = (
        CheckTiming("litert", "states", "n2t6", 0.25),
        CheckTiming("litert", "chunked", "n3t5", 1.5),
    )
    report = replace(report_of(list(observations()), [ABORTED]), timings=timings)
    suites = suites_of(report)
    times = {case.get("classname"): case.get("time") for case in suites["litert"].iter("testcase")}
    assert times == {"litert.states": "0.250000", "litert.chunked": "1.500000"}
    assert (suites["litert"].get("time"), suites["ort-cpu"].get("time")) == ("1.750000", "0.000000")


def test_what_was_skipped_is_seen():
    (case,) = suites_of(report_of(list(observations())))["ort-cuda"].findall("testcase")
    assert case.find("skipped").get("message") == "no <CUDA> here"


def test_nothing_checked_is_a_failure():
    (case,) = suites_of(report_of([]))["verification"].findall("testcase")
    assert case.find("failure").get("message") == "nothing was checked"


def test_control_characters_do_not_break_the_file():
    seen = list(observations())
    fault = replace(ABORTED, message="died \x1b[31mred\x00\ud800")
    suites = suites_of(report_of(seen, [fault]))
    messages = [error.get("message") for error in suites["litert"].iter("error")]
    assert messages == ["died \ufffd[31mred\ufffd\ufffd"]
    assert isinstance(seen[0].comparison, Comparison)
