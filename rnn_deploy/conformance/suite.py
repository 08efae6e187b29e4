"""The whole suite: export and judge it here, or save bundles that another machine judges.

    DIR/suite.json           the bundles: [{theme, case, form, bundle}]
    DIR/<case>.<form>/       a bundle

A saved suite needs only a runtime's package, and no TensorFlow.
"""

import json
import math
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnn_deploy.bundle import open_bundle
from rnn_deploy.conformance.checking import CaseExporter, CaseOutcome, judged, with_random_weights
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import Runtime, why_wrong

if TYPE_CHECKING:
    from rnn_deploy.conformance.cases import ConformanceCase

INDEX = "suite.json"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class SuiteBundle:
    """One bundle of a saved suite."""

    theme: str
    case: str
    form: str
    bundle: str


@dataclass(frozen=True)
class SuiteSelection:
    """A part of the suite: cases by a pattern, and forms."""

    case: str = "*"
    forms: Sequence[str] = ()

    def takes(self, case: str, form: str) -> bool:
        return fnmatchcase(case, self.case) and form in self.forms


def run(
    chosen: SuiteSelection, runtimes: Sequence[Runtime], progress: Progress
) -> Iterator[tuple[str, CaseOutcome]]:
    """Export each bundle to a temporary folder and judge it; yield theme and outcome."""
    exporter = CaseExporter()
    for member, case in _members(chosen):
        progress(f"{member.case}, {member.form}")
        with tempfile.TemporaryDirectory() as folder:
            bundle = exporter.export(case, member.form, Path(folder) / "bundle")
            for outcome in judged(bundle, member.case, member.form, runtimes):
                yield member.theme, outcome


def run_random(
    count: int, seed: int, runtimes: Sequence[Runtime], progress: Progress
) -> Iterator[tuple[str, CaseOutcome]]:
    """Compose `count` models at random, starting at `seed`; yield description and outcome."""
    from rnn_deploy.conformance.composed import described

    for number in range(seed, seed + count):
        progress(f"model {number - seed + 1} of {count}")
        what = described(random.Random(number).choice)
        for outcome in composed_outcomes(what, number, runtimes):
            yield json.dumps(what), outcome


def composed_outcomes(
    what: dict[str, Any], seed: int, runtimes: Sequence[Runtime]
) -> list[CaseOutcome]:
    """Export a described model and judge it by the budgets of the verification.

    One seed in twelve is also exported to TFLite, which is the slowest.
    """
    from rnn_deploy.conformance.composed import built
    from rnn_deploy.exporting.pipeline import export
    from rnn_deploy.formats.options import ExportOptions

    options = ExportOptions(() if seed % 12 == 0 else "onnx", seed=seed, long=0)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns about masks that a layer does not use
        model = with_random_weights(built(what), seed, 0.3)
        bundle = export(model, Path(folder) / "bundle", options)
        fitting = [runtime for runtime in runtimes if why_wrong(bundle, runtime) is None]
        return judged(bundle, f"random-{seed}", "auto", fitting, most_error=math.inf)


def save(chosen: SuiteSelection, place: Path, progress: Progress) -> int:
    """Write the bundles to the new folder `place`; return their number."""
    if place.exists():
        raise InputError("E-OPTION-EXISTS", f"{place}: exists already; give a new folder")
    members, exporter = _members(chosen), CaseExporter()
    for member, case in members:
        progress(f"{member.case}, {member.form}")
        exporter.export(case, member.form, place / member.bundle)
    index = json.dumps([asdict(member) for member, _ in members], indent=1)
    (place / INDEX).write_text(index + "\n", encoding="utf-8")
    return len(members)


def run_saved(
    place: Path, chosen: SuiteSelection, runtimes: Sequence[Runtime], progress: Progress
) -> Iterator[tuple[str, CaseOutcome]]:
    """Judge the bundles that `save` wrote; yield theme and outcome."""
    for member in _saved(place):
        if chosen.takes(member.case, member.form):
            progress(f"{member.case}, {member.form}")
            bundle = open_bundle(place / member.bundle)
            for outcome in judged(bundle, member.case, member.form, runtimes):
                yield member.theme, outcome


def _members(chosen: SuiteSelection) -> list[tuple[SuiteBundle, "ConformanceCase"]]:
    from rnn_deploy.conformance.cases import THEMES

    return [
        (SuiteBundle(theme, case.name, form, f"{case.name}.{form}"), case)
        for theme, cases in THEMES.items()
        for case in cases
        for form in chosen.forms
        if chosen.takes(case.name, form)
    ]


def _saved(place: Path) -> list[SuiteBundle]:
    try:
        found = json.loads((place / INDEX).read_text(encoding="utf-8"))
        members = [SuiteBundle(**member) for member in found]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            "E-DATA-NO-SUITE",
            f"{place}: expected a saved suite ({error}); write one with"
            " rnn-deploy conformance --save DIR on a machine with TensorFlow",
        ) from error
    outside = [m.bundle for m in members if Path(m.bundle).name != m.bundle]
    if outside:
        raise InputError(
            "E-DATA-OUTSIDE", f"{place}: the suite names a bundle outside its folder: {outside[0]}"
        )
    return members
