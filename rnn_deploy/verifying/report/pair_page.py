"""The comparison of two models as one HTML page that needs no second file."""

from rnn_deploy.templates import rendered
from rnn_deploy.verifying.pairing import PairComparison
from rnn_deploy.verifying.report.text import number


def html_from_pair(compared: PairComparison) -> str:
    """Return the page. Raises MissingExtraError without the packages of the extra `report`."""
    rows = list(zip(compared.comparisons, compared.statistics, strict=True))
    values = {"compared": compared, "rows": rows}
    return rendered("rnn_deploy.verifying.report", "pair.html", values, {"number": number})
