"""Plot errors as SVG with matplotlib; the page's style sheet sets the colours.

Colours are placeholders that become CSS variables, so one plot fits a light and a dark page; a
heatmap is one colour of varying opacity over the page's background.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.optional import require
from rnn_deploy.verifying.judge.distance import Floats
from rnn_deploy.verifying.report.error_profiles import TENSORFLOW, ErrorProfile, ErrorProfiles

# A placeholder for each CSS variable; these colours are never shown.
INK, QUIET, GRID, LIMIT = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#050501", "#050502", "#050503", "#050504", "#050505", "#050506")
VARIABLES = {INK: "--ink", QUIET: "--quiet", GRID: "--grid", LIMIT: "--bad"} | {
    colour: f"--series-{i}" for i, colour in enumerate(SERIES)
}
MARKERS = "osD^vP"
MOST_POINTS = 300
MOST_COLUMNS = 128
LEAST = 1e-3  # of a budget: smaller parts have no colour
HEAT, OVER = (42, 120, 214), (208, 59, 59)


@dataclass(frozen=True)
class Plot:
    """A plot with its title, as SVG to embed in a page."""

    title: str
    note: str
    svg: str


def error_over_time(profiles: ErrorProfiles, runtimes: Sequence[str]) -> Iterator[Plot]:
    """Plot the largest error after each step on each runtime, and the budget, for each tensor."""
    for (name, kind), checks in _panels(profiles).items():
        for members in checks:
            tracks = _joined(profiles, members, name)
            seen = np.concatenate([np.flatnonzero(t.budgets > 0) for t in tracks.values()])
            if len(np.unique(seen)) > 1:
                title = f"{name} ({kind})"
                yield Plot(title, ", ".join(members), _timeline(tracks, runtimes, title))


def error_by_unit(profiles: ErrorProfiles, runtimes: Sequence[str]) -> Iterator[Plot]:
    """Plot the part of its budget that each unit used, for each tensor.

    There is one row for each runtime over all checks, and one for each check that fails.
    """
    for name, kind in _panels(profiles):
        rows: dict[str, Floats] = {}
        for runtime in runtimes:
            tracks = {
                check: profile.by_unit
                for (check, tensor, on), profile in profiles.profiles.items()
                if (tensor, on) == (name, runtime)
            }
            rows |= {f"{runtime}": reduce(_larger, tracks.values())} if tracks else {}
            rows |= {f"{runtime}, {c}": used for c, used in tracks.items() if np.any(used > 1)}
        if rows:
            title = f"{name} ({kind})"
            yield Plot(title, f"{max(map(len, rows.values()))} units", _heatmap(rows, title))


def _panels(profiles: ErrorProfiles) -> dict[tuple[str, str], list[list[str]]]:
    """Return the checks of each tensor; checks with the same budget share a panel."""
    panels: dict[tuple[str, str], dict[bytes, list[str]]] = {}
    for (check, name, runtime), profile in profiles.profiles.items():
        if runtime == TENSORFLOW:
            continue
        known = profile.budgets[~np.isnan(profile.budgets)]
        levels = np.unique(known)
        level = levels.tobytes() if len(levels) == 1 else check.encode()
        members = panels.setdefault((name, profile.kind), {}).setdefault(level, [])
        if check not in members:
            members.append(check)
    return {key: list(levels.values()) for key, levels in panels.items()}


def _joined(profiles: ErrorProfiles, checks: Sequence[str], name: str) -> dict[str, ErrorProfile]:
    """Return the largest errors of several checks, for each runtime."""
    tracks: dict[str, ErrorProfile] = {}
    for (check, tensor, runtime), found in profiles.profiles.items():
        if tensor != name or check not in checks:
            continue
        track = tracks.setdefault(runtime, ErrorProfile(found.kind))
        track.by_step = _larger(track.by_step, found.by_step)
        track.budgets = _smaller(track.budgets, found.budgets)
    return tracks


def _larger(a: Floats, b: Floats) -> Floats:
    return np.fmax(*_of_one_length(a, b))


def _smaller(a: Floats, b: Floats) -> Floats:
    return np.fmin(*_of_one_length(a, b))


def _of_one_length(*tracks: Floats) -> list[Floats]:
    size = max(map(len, tracks))
    return [np.pad(t, (0, size - len(t)), constant_values=np.nan) for t in tracks]


def _timeline(tracks: Mapping[str, ErrorProfile], runtimes: Sequence[str], title: str) -> str:
    figure, axes = _figure(5.4, 2.7)
    floor = _floor(tracks.values())
    for runtime in (TENSORFLOW, *runtimes):
        if runtime not in tracks:
            continue
        steps, errors = _points(tracks[runtime].by_step)
        shown = np.where(np.isfinite(errors), np.maximum(errors, floor), np.nan)
        few = len(steps) <= 40
        if runtime == TENSORFLOW:
            style: dict[str, Any] = {"color": QUIET, "ls": (0, (1, 1.5)), "lw": 1.5}
        else:
            i = list(runtimes).index(runtime) % len(SERIES)
            markers = {"marker": MARKERS[i], "ms": 4} if few else {}
            style = {"color": SERIES[i], "lw": 1.6, **markers}
        axes.plot(steps + 1, shown, **style)
        for step in steps[~np.isfinite(errors)]:
            axes.axvline(step + 1, color=LIMIT, lw=1)
    own = [track.budgets for runtime, track in tracks.items() if runtime != TENSORFLOW]
    steps, allowed = _points(reduce(_smaller, own))
    axes.plot(steps + 1, allowed, color=LIMIT, lw=1.6, ls=(0, (5, 2)))
    axes.set_yscale("log")
    if len(steps) and steps[-1] > 200:
        axes.set_xscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("absolute error")
    return _svg(figure, title)


def _floor(tracks: Any) -> float:
    """Return where to plot an error of zero: just below the smallest error or budget."""
    values = np.concatenate([v for t in tracks for v in (t.by_step, t.budgets)])
    positive = values[np.isfinite(values) & (values > 0)]
    return float(positive.min()) / 3 if positive.size else 1e-12


def _points(by_step: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the compared steps and their values; for many steps, the largest of each interval."""
    steps = np.flatnonzero(~np.isnan(by_step))
    if len(steps) <= MOST_POINTS:
        return steps, by_step[steps]
    stretches = np.array_split(steps, MOST_POINTS)
    largest = [stretch[by_step[stretch].argmax()] for stretch in stretches]
    return np.array(largest), by_step[largest]


def _heatmap(rows: Mapping[str, Floats], title: str) -> str:
    width = min(MOST_COLUMNS, max(map(len, rows.values())))
    image = np.stack([_coloured(_columns(values, width)) for values in rows.values()])
    figure, axes = _figure(5.4, 0.75 + 0.2 * len(rows))
    units = max(map(len, rows.values()))
    extent = (-0.5, units - 0.5, len(rows) - 0.5, -0.5)
    axes.imshow(image, aspect="auto", interpolation="none", extent=extent)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlabel("unit")
    axes.grid(visible=False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return _svg(figure, title)


def _columns(values: Floats, width: int) -> Floats:
    """Reduce the units to `width` columns, each with the largest value of its units."""
    parts = np.array_split(values, width) if len(values) >= width else [*values[:, None]]
    largest = np.array([part.max() for part in parts])
    return np.pad(largest, (0, width - len(largest)), constant_values=np.nan)


def _coloured(used: Floats) -> NDArray[np.uint8]:
    """Return RGBA: the opacity is the used part of the budget on a log scale."""
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip(1 - np.log10(used) / np.log10(LEAST), 0, 1)
    over = ~(used <= 1) & ~np.isnan(used)
    alpha = np.where(np.isnan(used), 0, np.where(over, 1, 0.05 + 0.95 * np.nan_to_num(part)))
    colours = np.where(over[:, None], OVER, HEAT)
    return np.concatenate([colours, 255 * alpha[:, None]], axis=1).astype(np.uint8)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # Without pyplot, which keeps figures in memory and looks for a display.
    figure = require("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    figure.patch.set_alpha(0)
    axes.grid(color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, which="both", labelcolor=INK, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(QUIET)
        axis.label.set_size(8)
    return figure, axes


def _svg(figure: Any, title: str) -> str:
    settings = {"svg.fonttype": "none", "svg.hashsalt": title}
    text = io.StringIO()
    with require("matplotlib").rc_context(settings):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
