"""The comparison of two models as one HTML page that needs no second file."""

from importlib.resources import files

from rnn_deploy.optional import require
from rnn_deploy.verifying.pairing import PairComparison
from rnn_deploy.verifying.report.text import number


def html_from_pair(compared: PairComparison) -> str:
    """Return the page. Raises MissingExtraError without the packages of the extra `report`."""
    jinja2 = require("jinja2")
    folder = files("rnn_deploy.verifying.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    rows = list(zip(compared.comparisons, compared.statistics, strict=True))
    page: str = environment.get_template("pair.html").render(compared=compared, rows=rows)
    return page
