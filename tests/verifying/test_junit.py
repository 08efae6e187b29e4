"""The JUnit XML that CI servers read."""

from dataclasses import replace
from xml.etree import ElementTree as ET

from rnn_deploy.verifying.compare import Comparison
from rnn_deploy.verifying.junit import junit_from_report
from tests.verifying.observed import ABORTED, observations, report_of


def suites_of(report):
    root = ET.fromstring(junit_from_report(report).encode())
    assert root.tag == "testsuites"
    for element in (root, *root):
        cases = list(element.iter("testcase"))
        for attribute, tag in (
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert int(element.get(attribute)) == sum(c.find(tag) is not None for c in cases)
        assert int(element.get("tests")) == len(cases)
    for case in root.iter("testcase"):
        assert case.get("name")
        assert case.get("classname")
    return {suite.get("name"): suite for suite in root}


def test_one_suite_for_each_runtime_with_its_cases_and_surroundings():
    suites = suites_of(report_of(list(observations()), [ABORTED]))
    assert set(suites) == {"ort-cpu", "litert", "ort-cuda"}
    (good,) = suites["ort-cpu"].findall("testcase")
    assert (good.get("classname"), good.get("name"), len(good)) == ("ort-cpu.states", "n2t6", 0)
    facts = {p.get("name"): p.get("value") for p in suites["litert"].iter("property")}
    assert facts["machine"] == "abacus"
    assert facts["bundle"] == "some/<model> & co"


def test_a_failure_names_the_place_and_both_values():
    bad, broken = suites_of(report_of(list(observations()), [ABORTED]))["litert"].findall(
        "testcase"
    )
    (failure,) = bad.findall("failure")
    assert "litert states: output 'y' in n2t6[1, 4, 2]: found " in failure.get("message")
    assert "against a budget of 1.0e-05" in failure.text
    assert broken.get("classname") == "litert.chunked"
    assert broken.find("error").get("message") == "ended with SIGABRT while running"


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
