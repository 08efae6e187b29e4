"""HTML pages from Jinja2 templates that lie beside the code of a package."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from rnn_deploy.optional import require


def rendered(
    package: str,
    template: str,
    values: Mapping[str, Any],
    filters: Mapping[str, Callable[..., Any]] | None = None,
) -> str:
    """Return a page; every value is escaped, and an unknown name in the template is an error.

    package: the one that contains the template. Raises MissingExtraError without the packages of
    the extra `report`.
    """
    jinja2 = require("jinja2")
    folder = files(package)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters or {})
    page: str = environment.get_template(template).render(**values)
    return page
