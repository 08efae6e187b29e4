"""The whole suite: made here and judged at once, or saved as bundles to be judged elsewhere.

    DIR/suite.json           what there is: [{theme, case, form, bundle}]
    DIR/<case>.<form>/       a bundle

A saved suite is run with a runtime's package alone, on a machine without TensorFlow.
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
    """Which of the suite: cases by a pattern, and forms."""

    case: str = "*"
    forms: Sequence[str] = ()

    def takes(self, case: str, form: str) -> bool:
        return fnmatchcase(case, self.case) and form in self.forms


def run(
    chosen: SuiteSelection, runtimes: Sequence[Runtime], progress: Progress
) -> Iterator[tuple[str, CaseOutcome]]:
    """Make each bundle in a temporary folder and judge it: theme, outcome."""
    maker = CaseExporter()
    for member in _members(chosen):
        progress(f"{member.case}, {member.form}")
        with tempfile.TemporaryDirectory() as folder:
            bundle = maker.made(_case(member.case), member.form, Path(folder) / "bundle")
            for outcome in judged(bundle, member.case, member.form, runtimes):
                yield member.theme, outcome


def run_random(
    count: int, seed: int, runtimes: Sequence[Runtime], progress: Progress
) -> Iterator[tuple[str, CaseOutcome]]:
    """Compose `count` models at random, from `seed` on, and judge each: description, outcome."""
    from rnn_deploy.conformance.composed import described

    for number in range(seed, seed + count):
        progress(f"model {number - seed + 1} of {count}")
        what = described(random.Random(number).choice)
        for outcome in composed_outcomes(what, number, runtimes):
            yield json.dumps(what), outcome


def composed_outcomes(
    what: dict[str, Any], seed: int, runtimes: Sequence[Runtime]
) -> list[CaseOutcome]:
    """A described model, exported and judged by the verification's own budgets.

    TFLite, the slowest to write, is written for one seed in twelve.
    """
    from rnn_deploy.conformance.composed import built
    from rnn_deploy.exporting.pipeline import export
    from rnn_deploy.formats.options import ExportOptions

    options = ExportOptions(() if seed % 12 == 0 else "onnx", seed=seed, long=0)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras, on masks that end at a layer
        model = with_random_weights(built(what), seed, 0.3)
        bundle = export(model, Path(folder) / "bundle", options)
        fitting = [runtime for runtime in runtimes if why_wrong(bundle, runtime) is None]
        return judged(bundle, f"random-{seed}", "auto", fitting, promised=math.inf)


def save(chosen: SuiteSelection, place: Path, progress: Progress) -> int:
    """Write the bundles to the new folder `place`; how many."""
    if place.exists():
        raise InputError(f"{place}: is there already; give a new folder")
    members, maker = _members(chosen), CaseExporter()
    for member in members:
        progress(f"{member.case}, {member.form}")
        maker.made(_case(member.case), member.form, place / member.bundle)
    index = json.dumps([asdict(member) for member in members], indent=1)
    (place / INDEX).write_text(index + "\n", encoding="utf-8")
    return len(members)


def run_saved(
    place: Path, chosen: SuiteSelection, runtimes: Sequence[Runtime], progress: Progress
) -> Iterator[tuple[str, CaseOutcome]]:
    """Judge the bundles that `save` wrote: theme, outcome."""
    for member in _saved(place):
        if chosen.takes(member.case, member.form):
            progress(f"{member.case}, {member.form}")
            bundle = open_bundle(place / member.bundle)
            for outcome in judged(bundle, member.case, member.form, runtimes):
                yield member.theme, outcome


def _members(chosen: SuiteSelection) -> list[SuiteBundle]:
    from rnn_deploy.conformance.cases import THEMES

    return [
        SuiteBundle(theme, case.name, form, f"{case.name}.{form}")
        for theme, cases in THEMES.items()
        for case in cases
        for form in chosen.forms
        if chosen.takes(case.name, form)
    ]


def _case(name: str) -> "ConformanceCase":
    from rnn_deploy.conformance.cases import CASES

    return next(case for case in CASES if case.name == name)


def _saved(place: Path) -> list[SuiteBundle]:
    try:
        found = json.loads((place / INDEX).read_text(encoding="utf-8"))
        members = [SuiteBundle(**member) for member in found]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{place}: holds no saved suite ({error}); write one with"
            " rnn-deploy conformance --save DIR, where TensorFlow is"
        ) from error
    outside = [m.bundle for m in members if Path(m.bundle).name != m.bundle]
    if outside:
        raise InputError(f"{place}: the suite names a bundle outside its folder: {outside[0]}")
    return members
