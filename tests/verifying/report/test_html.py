"""The HTML page: everything is in it, nothing is fetched, nothing is injected."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from rnn_deploy.errors import MissingExtraError
from rnn_deploy.verifying.report import plots
from rnn_deploy.verifying.report.error_profiles import TENSORFLOW, ErrorProfiles
from rnn_deploy.verifying.report.html import html_from_report
from tests.support.observed import (
    ABORTED,
    BUDGET,
    WRONG_STEP,
    WRONG_UNIT,
    observation,
    observations,
    report_of,
)

CHROMIUM = shutil.which("chromium")
VOID = {"meta", "link", "br", "hr", "img"}


class Balanced(HTMLParser):
    """Fails where elements do not close in order; collects text and what would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags = [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def profiles_of(seen):
    profiles = ErrorProfiles()
    for one in seen:
        profiles.record(one)
    return profiles


@pytest.fixture(scope="module")
def page():
    seen = list(observations())
    fault = replace(ABORTED, message="<script>alert(1)</script>")
    return html_from_report(report_of(seen, [fault]), profiles_of(seen))


def test_the_page_is_complete(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    text = " ".join(parser.text)
    for word in ("FAILED", "ort-cpu", "litert", "h_out", "no <CUDA> here", "abacus", "RNN",
                 "<model> & co", "n2t6[1, 4, 2]", "<script>alert(1)", "1 of 4"):  # fmt: skip
        assert word in text, word
    assert page.count("<svg") == 3  # y over time (h is known after one step only); both by unit


def test_nothing_is_fetched_or_run(page):
    parser = Balanced()
    parser.feed(page)
    assert not parser.tags & {"script", "link", "img", "iframe"}
    fetched = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)|url\(\s*["']?([^"')]+)""", page)
    assert all(a.startswith(("#", "data:")) or b.startswith("#") for a, b in fetched)


def test_the_same_report_gives_the_same_page_and_no_placeholder_is_left(page):
    seen = list(observations())
    report = report_of(seen)
    first, second = (html_from_report(report, profiles_of(seen)) for _ in range(2))
    assert first == second
    assert not any(colour in first for colour in plots.VARIABLES)
    variables = set(re.findall(r"var\((--[\w-]+)\)", page))
    defined = set(re.findall(r"(--[\w-]+):", page))
    assert variables <= defined


def test_profiles_name_the_step_and_the_unit():
    found = profiles_of(observations()).profiles
    good, bad = (found["states", "y", runtime] for runtime in ("ort-cpu", "litert"))
    assert bad.by_step.argmax() == WRONG_STEP
    assert bad.by_step[WRONG_STEP] == pytest.approx(1e-3, rel=0.01)
    assert bad.by_unit.argmax() == WRONG_UNIT
    assert bad.by_unit[WRONG_UNIT] == pytest.approx(1e-3 / BUDGET, rel=0.01)
    assert (bad.by_unit > 1).sum() == 1
    assert good.by_step.max() < 1e-6
    state = found["states", "h_out", "ort-cpu"]
    assert np.flatnonzero(~np.isnan(state.by_step)).tolist() == [5]
    assert found["states", "y", TENSORFLOW].by_step == pytest.approx(2e-7, abs=2e-7)


def test_profiles_keep_the_worst_of_all_cases_and_do_not_grow_with_them():
    truth = np.zeros((1, 4, 2))
    profiles = ErrorProfiles()
    for place in range(4):
        value = truth.copy()
        value[0, place, 1] = (place + 1) * 1e-6
        profiles.record(observation("r", "c", "y", value, truth, 1, tuple(range(4)), str(place)))
    assert profiles.profiles["c", "y", "r"].by_step.tolist() == [1e-6, 2e-6, 3e-6, 4e-6]
    assert profiles.profiles["c", "y", "r"].by_unit.tolist() == [0, pytest.approx(4e-6 / BUDGET)]


def test_a_lost_shape_an_integer_and_nothing_at_all_are_drawn_too():
    h = np.ones((2, 5))
    lost = observation("ort-cpu", "states", "h", h[0], h, None, (3,))
    integer = observation("ort-cpu", "states", "i", h.astype(int), h.astype(int), None, (3,))
    nan = observation("litert", "states", "h", np.full_like(h, np.nan), h, None, (3,))
    seen = [lost, integer, nan]
    assert "FAILED" in html_from_report(report_of(seen), profiles_of(seen))
    assert "nothing was checked" in html_from_report(report_of([]), ErrorProfiles()).lower()


def test_long_sequences_keep_their_peaks():
    by_step = np.full(10_000, 1e-7)
    by_step[7777] = 1e-2
    steps, errors = plots._points(by_step)
    assert len(steps) == plots.MOST_POINTS
    assert (7777, 1e-2) in list(zip(steps.tolist(), errors.tolist(), strict=True))


def test_heat_is_faint_within_and_red_outside_a_budget():
    colours = plots._coloured(np.array([0.0, 1e-4, 0.5, 1.0, 1.01, np.inf, np.nan]))
    assert [tuple(c[:3]) == plots.OVER for c in colours] == [False] * 4 + [True] * 2 + [False]
    assert sorted(colours[:4, 3]) == list(colours[:4, 3])
    assert (colours[6, 3], colours[4, 3], colours[3, 3]) == (0, 255, 255)


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_the_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as error:
        html_from_report(report_of([]), ErrorProfiles())
    assert package in error.value.message
    assert "[report]" in error.value.message


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not here")
def test_a_browser_shows_the_page(page, tmp_path):
    place = tmp_path / "report.html"
    place.write_text(page, encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,2000",
         f"--user-data-dir={tmp_path}/profile", f"--screenshot={tmp_path}/shot.png", "--dump-dom",
         place.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Verification of" in done.stdout
    shot = plots.require("matplotlib.image").imread(tmp_path / "shot.png")
    assert shot.shape[:2] == (2000, 1200)
    assert len(np.unique(shot.reshape(-1, shot.shape[-1]), axis=0)) > 50
