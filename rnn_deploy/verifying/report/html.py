"""A report as one HTML page that needs no network, no script and no second file.

Report, ErrorProfiles --page.html (Jinja2), page.css--> page
"""

import math
from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from rnn_deploy.optional import require
from rnn_deploy.templates import rendered
from rnn_deploy.verifying.diagnose.file_verdicts import file_verdicts
from rnn_deploy.verifying.report.cause import cause_of
from rnn_deploy.verifying.report.error_profiles import ErrorProfiles
from rnn_deploy.verifying.report.plots import SERIES, VARIABLES, error_by_unit, error_over_time
from rnn_deploy.verifying.report.report import Report, worst_of_each
from rnn_deploy.verifying.report.text import budget_used, comparison_line, number, worst_place

MOST_FINDINGS = 12


def html_from_report(report: Report, profiles: ErrorProfiles) -> str:
    """Return the page. Raises MissingExtraError without the packages of the extra `report`."""
    require("matplotlib")
    filters: dict[str, Callable[..., Any]] = {
        "number": number, "used": budget_used, "place": worst_place, "percent": _percent,
        "is_nan": isnan,
    }  # fmt: skip
    values = _context(report, profiles)
    return rendered("rnn_deploy.verifying.report", "page.html", values, filters)


def _context(report: Report, profiles: ErrorProfiles) -> dict[str, Any]:
    """Return the data that the template shows."""
    runtimes = list(dict.fromkeys(c.runtime for c in report.comparisons))
    by_check = {
        (c.runtime, c.check): c for c in worst_of_each(report.comparisons, ("runtime", "check"))
    }
    errors = dict.fromkeys((f.runtime, f.check) for f in report.failed_checks)
    cells = [*by_check, *errors]
    findings = _findings(report)
    kinds = {c.name: c.kind for c in report.comparisons}
    states = sum(kind == "state" for kind in kinds.values())
    most_used = max(map(budget_used, report.comparisons), default=0.0)
    return {
        "report": report,
        "cause": cause_of(report),
        "name": Path(report.bundle).name,
        "tiles": (
            (len(runtimes), "runtimes"),
            (len({c.check for c in report.comparisons}), "checks"),
            (f"{len(kinds) - states} + {states}", "outputs + states"),
            (f"{len(report.comparisons):,}", "comparisons"),
            (_percent(most_used), "largest use of a budget"),
        ),
        "findings": findings[:MOST_FINDINGS],
        "more_findings": len(findings) - MOST_FINDINGS,
        "file_verdicts": file_verdicts(report.comparisons, report.failed_checks),
        "checks": list(dict.fromkeys(check for _, check in cells)),
        "check_runtimes": list(dict.fromkeys(runtime for runtime, _ in cells)),
        "by_check": by_check,
        "errors": errors,
        "lines": _legend(runtimes),
        "over_time": list(error_over_time(profiles, runtimes)),
        "by_unit": list(error_by_unit(profiles, runtimes)),
        "runtimes": runtimes,
        "worst": worst_of_each(report.comparisons),
    }


def _legend(runtimes: Sequence[str]) -> list[tuple[str, str]]:
    """Return the name and line style of everything in the plots over time."""
    colours = [f"var({VARIABLES[colour]})" for colour in SERIES]
    return [
        *((name, f"solid {colours[i % len(colours)]}") for i, name in enumerate(runtimes)),
        ("TensorFlow's own error, in float32", "dotted var(--quiet)"),
        ("budget", "dashed var(--bad)"),
    ]


def _findings(report: Report) -> list[tuple[str, str]]:
    """Return the title and text of findings, failed checks, and other failed comparisons."""
    localised = {(f.runtime, f.check) for f in report.findings}
    places: dict[tuple[str, str], list[str]] = {}
    for failed in report.failed_checks:
        place = f"{failed.check} {failed.case}"
        places.setdefault((failed.runtime, failed.message), []).append(place)
    return [
        *((f.lines[0], "\n".join(f.lines[1:])) for f in report.findings),
        *(
            (f"{runtime}: check failed", f"{message}\nin {', '.join(where)}")
            for (runtime, message), where in places.items()
        ),
        *(
            (f"{c.runtime} {c.check}: '{c.name}' is outside its budget", comparison_line(c))
            for c in worst_of_each(report.comparisons)
            if not c.passed and (c.runtime, c.check) not in localised
        ),
    ]


def _percent(part: float) -> str:
    if math.isinf(part):
        return "\u221e"
    if part > 10:
        return f"{part:,.0f}\u00d7"
    return f"{100 * part:.1f}%" if 0 < part < 0.1 else f"{100 * part:.0f}%"
