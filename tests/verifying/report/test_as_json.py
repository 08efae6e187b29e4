"""The keys of the JSON are those that the documentation lists."""

import json
import re
from pathlib import Path

from rnn_deploy.verifying.report.as_json import SCHEMA, json_from_report
from tests.support.reports import GOOD, report_of

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "report.md"


def test_every_key_is_documented():
    text = PAGE.read_text(encoding="utf-8")
    both = [re.findall(r"^\| (`.*?) \|", part, re.M) for part in text.split("A comparison has")]
    documented = [{key for row in rows for key in re.findall(r"`(\w+)`", row)} for rows in both]
    report = json.loads(json_from_report(report_of(GOOD)))
    assert report["schema"] == SCHEMA
    assert f"`schema` is {SCHEMA}" in text
    assert documented == [set(report), set(report["comparisons"][0])]
