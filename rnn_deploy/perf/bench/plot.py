"""Draw the results: a panel for each shape, a row for each contender.

A dot is the median, and its whisker ends at the 95th percentile, on a logarithmic axis.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnn_deploy.errors import InputError
from rnn_deploy.optional import require
from rnn_deploy.perf.bench.side_by_side import BenchResult

ENDINGS = (".svg", ".png", ".pdf")
OURS, THEIRS = "#2a6f97", "#9a6b1f"


def check_place(place: Path) -> None:
    """Raise InputError for an unknown ending, MissingExtraError without matplotlib."""
    if place.suffix.lower() not in ENDINGS:
        raise InputError(
            "E-OPTION-ENDING", f"--plot {place}: expected a file that ends in {', '.join(ENDINGS)}"
        )
    require("matplotlib")


def draw(results: Sequence[BenchResult], title: str, peers: Sequence[str], place: Path) -> None:
    """Draw results to `place`; contenders among `peers` have another colour."""
    figure = require("matplotlib.figure").Figure(layout="constrained")
    shapes = list(dict.fromkeys(result.shape for result in results))
    at = {shape: [r for r in results if r.shape == shape] for shape in shapes}
    rows = [len(at[shape]) + 1 for shape in shapes]
    figure.set_size_inches(8, 0.6 + 0.32 * sum(rows))
    panels = figure.subplots(len(shapes), squeeze=False, sharex=True, height_ratios=rows)[:, 0]
    for panel, shape in zip(panels, shapes, strict=True):
        _panel(panel, at[shape], peers)
        panel.set_title(f"batch {shape.batch}, {shape.time} steps", fontsize=9, loc="left")
    panels[-1].set_xlabel("microseconds for one call: median, and 95th percentile", fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.savefig(place, dpi=150)


def _panel(panel: Any, results: Sequence[BenchResult], peers: Sequence[str]) -> None:
    panel.set_xscale("log")
    for row, result in enumerate(results):
        if result.timing is None:
            panel.text(0.01, row, "no figures", transform=panel.get_yaxis_transform(),
                       fontsize=8, va="center")  # fmt: skip
            continue
        median = result.timing.median_us
        whisker = [[0.0], [max(0.0, result.timing.p95_us - median)]]
        color = THEIRS if result.contender in peers else OURS
        panel.errorbar(median, row, xerr=whisker, fmt="o", color=color, lw=1.2, capsize=2)
        panel.annotate(f"  {median:,.0f}", (result.timing.p95_us, row), fontsize=8, va="center")
    panel.set_yticks(range(len(results)), [r.contender for r in results], fontsize=8)
    panel.set_ylim(len(results) - 0.4, -0.6)
    panel.margins(x=0.15)
    panel.grid(axis="x", color="#e6e6e6")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
