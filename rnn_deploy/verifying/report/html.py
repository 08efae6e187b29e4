"""A report as one HTML page that needs nothing else: no network, no script, no second file.

Report, Profiles --> page: verdict, findings, verdicts, plots, every tensor, placement,
                     environment, what was left out
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from math import isnan
from pathlib import Path

from rnn_deploy.verifying.diagnose.file_verdicts import blames
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.markup import Markup, facts, table, tag
from rnn_deploy.verifying.report.plots import (
    SERIES,
    VARIABLES,
    Plot,
    error_by_unit,
    error_over_time,
    require_matplotlib,
)
from rnn_deploy.verifying.report.profiles import ErrorProfiles
from rnn_deploy.verifying.report.report import Report, worst_of_each
from rnn_deploy.verifying.report.words import number, place_of, said_of, used

MOST_FINDINGS = 12
OVER_TIME = (
    "The largest absolute error after each step, over all cases, rows and units, against the"
    " float64 oracle. A final state stands at the last step of its sequence."
)
BY_UNIT = "The largest error of each unit as a part of its budget, over all cases, rows and steps."
NEAREST = (
    "For each check and runtime the comparison that came nearest to its budget: its error as a"
    " part of the budget."
)
VOTES = (
    "Each recurrent layer, computed three times on export: by TensorFlow in float32, by the model"
    " in float64 (the oracle), by the recurrence in NumPy. The distances of two of them to the"
    " oracle and to each other; growth is what one step makes of a small error."
)
BUDGET = "An error is the distance from the model computed in float64; its budget is {}."


def html_from_report(report: Report, profiles: ErrorProfiles) -> str:
    """The page. MissingExtraError where matplotlib is not installed."""
    require_matplotlib()
    runtimes = list(dict.fromkeys(c.runtime for c in report.comparisons))
    name = Path(report.bundle).name
    css = files("rnn_deploy.verifying.report").joinpath("report.css").read_text(encoding="utf-8")
    parts = [
        _head(report, name),
        _tiles(report, runtimes),
        *_findings(report),
        *_verdicts(report),
        *_plots(profiles, runtimes),
        *_details(report, runtimes),
        *_placement(report),
        *_votes(report),
        *_surroundings(report),
    ]
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"{_stamp(report)}: {name}"),
        Markup(f"<style>\n{css}</style>"),
    )
    body = tag("body", tag("main", Markup("\n".join(parts))))
    return f'<!doctype html>\n<html lang="en">{head}\n{body}</html>\n'


def _head(report: Report, name: str) -> Markup:
    _, _, verdict = report.verdict.partition(": ")
    said = (
        tag("h1", f"Verification of {name}"),
        tag("p", f"{verdict[:1].upper()}{verdict[1:]}."),
        tag(
            "p", f"{report.environment.get('date', '')} \u00b7 bundle digest ",
            tag("span", report.digest[:16], cls="mono"), cls="quiet",
        ),
    )  # fmt: skip
    stamp = tag("div", _stamp(report), cls=f"stamp {'ok' if report.passed else 'bad'}")
    return tag("header", tag("div", *said), stamp)


def _stamp(report: Report) -> str:
    return "PASSED" if report.passed else "FAILED"


def _tiles(report: Report, runtimes: Sequence[str]) -> Markup:
    kinds = {c.name: c.kind for c in report.comparisons}
    states = sum(kind == "state" for kind in kinds.values())
    worst = max(map(used, report.comparisons), default=0.0)
    tiles = [
        (str(len(runtimes)), "runtimes"),
        (str(len({c.check for c in report.comparisons})), "checks"),
        (f"{len(kinds) - states} + {states}", "outputs + states"),
        (f"{len(report.comparisons):,}", "comparisons"),
        (_percent(worst), "most of a budget used"),
    ]
    cells = (tag("div", tag("b", figure), tag("span", of), cls="tile") for figure, of in tiles)
    return tag("div", *cells, cls="tiles")


def _findings(report: Report) -> Iterator[Markup]:
    failed = [c for c in worst_of_each(report.comparisons) if not c.passed]
    told = {(f.runtime, f.check) for f in report.findings}
    found = [(f.lines[0], "\n".join(f.lines[1:])) for f in report.findings]
    found += [*_broken_off(report)]
    found += [
        (f"{c.runtime} {c.check}: '{c.name}' is outside", said_of(c))
        for c in failed
        if (c.runtime, c.check) not in told
    ]
    if found:
        yield tag("h2", "What was found")
    for title, said in found[:MOST_FINDINGS]:
        yield tag("div", tag("h3", title), tag("pre", said), cls="finding")
    if len(found) > MOST_FINDINGS:
        yield tag("p", f"and {len(found) - MOST_FINDINGS} more, see the tables below", cls="quiet")
    for blame in blames(report.comparisons):
        yield tag("p", str(blame))
    if report.notes:
        yield tag("h2", "To be known")
        yield tag("ul", *(tag("li", note) for note in report.notes))


def _broken_off(report: Report) -> Iterator[tuple[str, str]]:
    """Faults of one runtime that say the same, together."""
    places: dict[tuple[str, str], list[str]] = {}
    for fault in report.faults:
        place = f"{fault.check} {fault.case}"
        places.setdefault((fault.runtime, fault.message), []).append(place)
    for (runtime, message), where in places.items():
        yield f"{runtime}: broke off", f"{message}\nin {', '.join(where)}"


def _verdicts(report: Report) -> Iterator[Markup]:
    """Checks by runtimes, each cell the worst of them."""
    broken = dict.fromkeys((f.runtime, f.check) for f in report.faults)
    by = ("runtime", "check")
    worst = {(c.runtime, c.check): c for c in worst_of_each(report.comparisons, by)}
    runtimes = dict.fromkeys(runtime for runtime, _ in [*worst, *broken])
    checks = dict.fromkeys(check for _, check in [*worst, *broken])

    def cell(key: tuple[str, str]) -> Markup:
        if key in broken:
            return tag("td", tag("span", "\u2717 broke off", cls="mark bad"))
        if key not in worst:
            return tag("td", "\u2013", cls="quiet")
        c = worst[key]
        return tag("td", _verdict(c), _bar(c), cls=f"fit {_class(c.passed)}")

    if checks:
        yield tag("h2", "Verdicts")
        yield tag("p", NEAREST, cls="quiet")
        yield table(
            ["check", *runtimes],
            (
                tag("tr", tag("th", check), *(cell((runtime, check)) for runtime in runtimes))
                for check in checks
            ),
        )


def _plots(profiles: ErrorProfiles, runtimes: Sequence[str]) -> Iterator[Markup]:
    over_time = list(error_over_time(profiles, runtimes))
    if not over_time:
        return
    colours = [f"var({VARIABLES[colour]})" for colour in SERIES]
    keys = [
        *((name, f"solid {colours[i % len(colours)]}") for i, name in enumerate(runtimes)),
        ("TensorFlow's own, in float32", "dotted var(--quiet)"),
        ("budget", "dashed var(--bad)"),
    ]
    lines = (tag("span", tag("i", style=f"border-top: 2.5px {s}"), name) for name, s in keys)
    yield tag("h2", "Error over time")
    yield tag("p", OVER_TIME, cls="quiet")
    yield tag("div", *lines, cls="legend")
    yield _cards(over_time)
    ramp = tag("span", "0.1%", tag("b", cls="ramp"), "100% of the budget")
    over = tag("span", tag("b", cls="over"), "outside")
    yield tag("h2", "Error by unit")
    yield tag("p", BY_UNIT, cls="quiet")
    yield tag("div", ramp, over, cls="legend")
    yield _cards(error_by_unit(profiles, runtimes))


def _cards(plots: Iterable[Plot]) -> Markup:
    cards = (
        tag(
            "div", tag("h3", plot.title, cls="mono"), tag("span", plot.note, cls="quiet"),
            Markup(plot.svg), cls="card",
        )
        for plot in plots
    )  # fmt: skip
    return tag("div", *cards, cls="plots")


def _details(report: Report, runtimes: Sequence[str]) -> Iterator[Markup]:
    heads = ["check", "tensor", "kind", ">largest error", ">TensorFlow's own", ">budget", "used",
             "worst case", "verdict"]  # fmt: skip
    worst = worst_of_each(report.comparisons)
    yield tag("h2", "Every tensor")
    yield tag("p", "For each runtime, check and tensor the worst of its cases.", cls="quiet")
    for runtime in runtimes:
        rows = [c for c in worst if c.runtime == runtime]
        failed = sum(not c.passed for c in rows)
        said = f"{failed} of {len(rows)} outside" if failed else f"all {len(rows)} within"
        summary = tag("summary", f"{runtime}: {said} their budgets")
        opened = {"open": ""} if failed or runtime == runtimes[0] else {}
        yield tag("details", summary, table(heads, map(_row, rows)), **opened)


def _row(c: Comparison) -> Markup:
    own = "unknown" if c.reference_error is None else number(c.reference_error)
    numbers = (tag("td", text, cls="number") for text in (number(c.max_abs), own, number(c.budget)))
    return tag(
        "tr", tag("td", c.check, cls="fit"), tag("td", c.name, cls="mono"), tag("td", c.kind),
        *numbers, tag("td", _bar(c), cls="fit"), tag("td", place_of(c), cls="mono fit"),
        tag("td", _verdict(c)), cls=_class(c.passed),
    )  # fmt: skip


def _placement(report: Report) -> Iterator[Markup]:
    yield tag("h2", "Where recurrent nodes ran")
    if report.untold:
        names = ", ".join(untold.runtime for untold in report.untold)
        yield tag("p", f"Not told by {names}.", cls="quiet")
    if not report.placed:
        if not report.untold:
            yield tag("p", "There is no recurrent operator in the graph.", cls="quiet")
        return
    heads = ["runtime", "entry point", "node", "operator", "ran on", "asked for", ""]
    rows = []
    for n in report.placed:
        cells = (n.runtime, n.entry, n.node, n.op_type, n.provider, n.asked)
        inner = (tag("td", cell) for cell in cells)
        rows.append(tag("tr", *inner, tag("td", _mark(n.passed)), cls=_class(n.passed)))
    said = "Read from the runtime's own profile of one run or graph, not from what was asked."
    yield tag("p", said, cls="quiet")
    yield table(heads, rows)


def _votes(report: Report) -> Iterator[Markup]:
    if not report.votes:
        return
    heads = ["layer", ">TensorFlow, float32", ">recurrence in NumPy", ">to each other",
             ">largest value", ">growth per step", "alone"]  # fmt: skip
    rows = []
    for v in report.votes:
        figures = (v.tensorflow, v.cells, v.between, v.scale, v.growth)
        cells = (tag("td", "\u2013" if isnan(f) else f"{f:.2g}", cls="number") for f in figures)
        said = tag("span", v.alone or "none of them", cls=f"mark {_class(not v.alone)}")
        rows.append(tag("tr", tag("td", v.layer, cls="mono"), *cells, tag("td", said)))
    yield tag("h2", "Three references")
    yield tag("p", VOTES, cls="quiet")
    yield table(heads, rows)


def _surroundings(report: Report) -> Iterator[Markup]:
    skipped = facts((s.runtime, s.reason) for s in report.skipped)
    nothing = tag("p", "Nothing was left out.")
    cards = (
        tag("div", tag("h3", "Environment"), facts(report.environment.items()), cls="card"),
        tag(
            "div", tag("h3", "Not verified"), skipped if report.skipped else nothing, cls="card"
        ),
    )  # fmt: skip
    yield tag("h2", "On what, and what was left out")
    yield tag("div", *cards, cls="two")
    place = (tag("span", report.bundle, cls="mono"), ", ", tag("span", report.digest, cls="mono"))
    lines = (
        tag("p", f"Truth: {report.reference}."),
        tag("p", BUDGET.format(report.tolerance)),
        tag("p", "Bundle: ", *place),
    )
    yield tag("footer", *lines, cls="quiet")


def _bar(c: Comparison) -> Markup:
    filled = tag("i", style=f"width: {100 * min(1.0, used(c)):.0f}%")
    return Markup(tag("span", filled, cls="bar") + _percent(used(c)))


def _percent(part: float) -> str:
    if part == float("inf"):
        return "\u221e"
    if part > 10:
        return f"{part:,.0f}\u00d7"
    return f"{100 * part:.1f}%" if 0 < part < 0.1 else f"{100 * part:.0f}%"


def _verdict(c: Comparison) -> Markup:
    """Its mark; a difference that is known, or a budget too wide to tell, is said to be so."""
    if c.known:
        return tag("span", "known", cls="mark quiet", title=c.known)
    return _mark(c.passed) if c.decisive else tag("span", "too wide", cls="mark quiet")


def _class(passed: bool) -> str:
    return "ok" if passed else "bad"


def _mark(passed: bool) -> Markup:
    return tag("span", "\u2713 ok" if passed else "\u2717 FAILED", cls=f"mark {_class(passed)}")
