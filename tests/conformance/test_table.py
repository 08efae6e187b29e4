"""The support table in the README is the one the suite gives."""

from pathlib import Path

from rnn_deploy.conformance.cases import CASES, THEMES
from rnn_deploy.conformance.gaps import GAPS, gap_of
from rnn_deploy.conformance.table import support_table

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_holds_the_table_of_the_suite():
    text = README.read_text(encoding="utf-8")
    held = text.split("<!-- conformance -->")[1].split("<!-- end -->")[0].strip()
    assert held == support_table(), "write it anew: rnn-deploy conformance --table"


def test_every_theme_is_a_line_and_every_gap_is_met_by_a_case():
    lines = support_table().splitlines()[2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == list(THEMES)
    for gap in GAPS:
        forms = ("auto", "scan", "unrolled")
        met = [c.name for c in CASES for f in forms if gap_of(c.name, f, gap.runtime) == gap]
        assert met, gap
