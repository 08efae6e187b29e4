"""All steps of tuning: candidates, verification, measurement, choice, settings, plan."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.plan import PlanRule, TunedPlan
from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.perf.bench.contender import Contender, of_bundle
from rnn_deploy.perf.bench.measure import LONG_TURNS, ratio
from rnn_deploy.perf.bench.side_by_side import BenchResult, side_by_side
from rnn_deploy.perf.peers.build import UnavailablePeer
from rnn_deploy.perf.peers.candidates import candidates, steps_of
from rnn_deploy.perf.peers.model import PeerModel
from rnn_deploy.perf.tuning.choose import WORTH, winners
from rnn_deploy.perf.tuning.write import variant_path
from rnn_deploy.runtimes.base import artifact_wrong_on, step_beside
from rnn_deploy.runtimes.machine import cores, processor
from rnn_deploy.runtimes.onnxruntime import SETTINGS, SPLIT
from rnn_deploy.runtimes.registry import RUNTIMES, runtimes_for
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint
from rnn_deploy.spec.shapes import Shape
from rnn_deploy.verifying import verify

Progress = Callable[[str], None]
LOWERINGS = ("native", "scan")
MOST_UNROLLED = 16  # a shape with at most so many steps has a candidate unrolled for it alone
AS_IT_IS = ""  # the name of the unchanged bundle among the candidates
USUAL = {SEQUENCE: (Shape(1, 10), Shape(1, 100), Shape(32, 100)), STREAM: (Shape(1, 1),)}
Place = tuple[str, Shape]  # an entry point at a shape


@dataclass(frozen=True)
class TuningResult:
    """The results of tuning. variants: the candidates by name. results: every measurement."""

    plan: TunedPlan
    variants: Mapping[str, Bundle]
    results: Mapping[Place, Sequence[BenchResult]]
    left_out: Sequence[UnavailablePeer]


@dataclass
class _TuningState:
    """The results so far: contenders by entry point, and what was left out.

    candidate_of: a contender's candidate. of_one_time: the contenders that accept only one number
    of steps. seen: the lowerings that have a contender.
    """

    contenders: dict[str, list[Contender]] = field(default_factory=dict)
    candidate_of: dict[str, str] = field(default_factory=dict)
    of_one_time: set[str] = field(default_factory=set)
    seen: set[tuple[object, ...]] = field(default_factory=set)
    left_out: list[UnavailablePeer] = field(default_factory=list)


def tune(
    bundle: Bundle, model: PeerModel, places: Sequence[Place], folder: Path, *, seconds: float,
    progress: Progress = lambda step: None,
) -> TuningResult:  # fmt: skip
    """Find the fastest for each entry point and shape; candidates are exported to `folder`.

    A candidate that fails verification on a runtime is not measured there. Raises
    RuntimeUnavailableError if nothing is left.
    """
    bundles, refused = candidates(_names(bundle, places), model, folder, progress)
    found = _TuningState(left_out=list(refused))
    entries = list(dict.fromkeys(entry for entry, _ in places))
    for name, candidate in {AS_IT_IS: bundle, **bundles}.items():
        _verify_candidate(found, name, candidate, entries, progress)
    results: dict[Place, Sequence[BenchResult]] = {}
    left = sum(len(found.contenders.get(entry, [])) for entry, _ in places)
    for entry, shape in places:
        contenders = found.contenders.get(entry, [])
        spec = bundle.manifest.entry(entry)
        report = _with_remaining(progress, left * seconds)
        results[entry, shape] = side_by_side(
            contenders, [shape], spec, seconds=seconds, turns=LONG_TURNS, progress=report
        )
        left -= len(contenders)
    medians = {place: _medians(of) for place, of in results.items()}
    alone = found.of_one_time
    empty = [f"{entry} {shape}" for (entry, shape), of in medians.items() if not of.keys() - alone]
    if empty:
        reasons = "; ".join(f"{left.name}: {left.reason}" for left in found.left_out)
        raise RuntimeUnavailableError(
            "E-BENCH-NOTHING", f"nothing could be measured at {empty[0]} ({reasons})"
        )
    rules = [
        _rule(bundle, found, place, name, results[place], seconds, progress)
        for place, names in winners(medians, alone).items()
        for name in names
    ]
    versions = {rule.runtime: RUNTIMES[rule.runtime].version() or "" for rule in rules}
    plan = TunedPlan(processor(), cores(), versions, tuple(rules))
    return TuningResult(plan, bundles, results, found.left_out)


def _with_remaining(progress: Progress, seconds: float) -> Progress:
    """Return `progress`, which also shows the least time that measuring still takes."""
    return lambda step: progress(f"{step}; at least {seconds:.0f} s more")


def _names(bundle: Bundle, places: Sequence[Place]) -> list[str]:
    """Return the candidates to export.

    Several layers can mix lowerings. A model can be unrolled for one small number of steps.
    """
    shapes = [shape for entry, shape in places if entry == SEQUENCE]
    mixed = [f"auto-{shape}" for shape in shapes] if len(_lowerings(bundle, SEQUENCE)) > 1 else []
    times = dict.fromkeys(shape.time for shape in shapes if shape.time <= MOST_UNROLLED)
    lengths = len(bundle.manifest.entry(SEQUENCE).time_symbols)
    unrolled = [f"unrolled-{time}" for time in times] if lengths == 1 else []
    return [*LOWERINGS, *mixed, *(unrolled if lengths else ["unrolled"])]


def _lowerings(bundle: Bundle, entry: str) -> list[tuple[str, str]]:
    """Return each layer's lowering in an entry point's ONNX file, and in its one-step file."""
    artifact = bundle.manifest.artifact("onnx", entry)
    one = None if artifact is None else step_beside(bundle, artifact)
    return [(c.layer, c.lowering) for a in (artifact, one) if a for c in a.choices]


def _verify_candidate(
    found: _TuningState, name: str, candidate: Bundle, entries: Sequence[str], progress: Progress
) -> None:
    """Verify a candidate on each available runtime; if it passes, it is a contender there.

    Skip entry points in which an earlier candidate has the same lowerings.
    """
    steps = steps_of(name)
    forms = {entry: (entry, steps, *_lowerings(candidate, entry)) for entry in entries}
    new = [entry for entry in entries if forms[entry] not in found.seen]
    found.seen |= {forms[entry] for entry in new}
    plain = replace(candidate, manifest=replace(candidate.manifest, plan=None))
    runtimes, skipped = runtimes_for(plain) if new else ([], [])
    if name == AS_IT_IS:
        found.left_out += [UnavailablePeer(s.runtime, s.reason) for s in skipped]
    for runtime in runtimes:
        label = f"{runtime.name}, {name}" if name else runtime.name
        progress(f"verifying {label}")
        if not verify(plain, runtimes=[runtime]).passed:
            found.left_out.append(
                UnavailablePeer(label, "it failed verification; see rnn-deploy verify")
            )
            continue
        found.candidate_of[label] = name
        found.of_one_time |= {label} if steps else set()
        for entry in new:
            artifact = plain.manifest.artifact(runtime.format, entry)
            if artifact is not None and artifact_wrong_on(artifact, runtime.name) is None:
                contender = of_bundle(candidate.root, runtime.name, None, label, entry)
                of_entry = found.contenders.setdefault(entry, [])
                of_entry.append(replace(contender, steps=steps))


def _medians(results: Sequence[BenchResult]) -> dict[str, float]:
    return {r.contender: r.timing.median_us for r in results if r.timing is not None}


def _rule(
    bundle: Bundle, found: _TuningState, place: Place, name: str, results: Sequence[BenchResult],
    seconds: float, progress: Progress,
) -> PlanRule:  # fmt: skip
    entry, shape = place
    contender = next(c for c in found.contenders[entry] if c.name == name)
    progress(f"{entry} {shape}: settings of {name}")
    best = _with_settings(bundle, contender, shape, seconds)
    timings = {r.contender: r.timing for r in results if r.timing is not None}
    before = next(iter(timings.values()))
    gain = ratio(before, timings[name]) * best.gain
    candidate = found.candidate_of[name]
    artifact = _artifact_path(bundle, contender, candidate)
    return PlanRule(
        entry, shape.batch, shape.time, contender.runtime, artifact,
        timings[name].median_us / best.gain, round(gain, 3), best.contender.threads,
        best.contender.session, contender.steps is not None,
    )  # fmt: skip


@dataclass(frozen=True)
class _TunedSetting:
    """A contender with settings. gain: how many times as fast it is as without them."""

    contender: Contender
    gain: float


def _with_settings(
    bundle: Bundle, contender: Contender, shape: Shape, seconds: float
) -> _TunedSetting:
    """Return the best setting, tried one at a time; no setting if none gains enough."""
    entry = bundle.manifest.entry(contender.entry)
    others = [replace(contender, name="one thread", threads=1)]
    others += [
        replace(contender, name=" ".join(setting), session=(setting,))
        for setting in _settings(contender.runtime, entry, shape)
    ]
    every = [contender, *others]
    results = side_by_side(every, [shape], entry, seconds=seconds, turns=LONG_TURNS)
    timings = {r.contender: r.timing for r in results if r.timing is not None}
    if contender.name not in timings:
        return _TunedSetting(contender, 1.0)
    gains = {n: ratio(timings[contender.name], t) for n, t in timings.items()}
    best = max([contender, *others], key=lambda c: gains.get(c.name, 0.0))
    if gains[best.name] < WORTH:
        return _TunedSetting(contender, 1.0)
    return _TunedSetting(best, gains[best.name])


def _settings(runtime: str, entry: EntryPoint, shape: Shape) -> Iterator[tuple[str, str]]:
    if runtime.startswith("ort-"):
        yield from ((setting, value) for setting in SETTINGS for value in SETTINGS[setting])
    if runtime == "ort-cpu" and shape.batch > 1 and cores() > 1 and entry.why_one_batch is None:
        yield SPLIT


def _artifact_path(bundle: Bundle, contender: Contender, candidate: str) -> str:
    format = RUNTIMES[contender.runtime].format
    if candidate == AS_IT_IS:
        artifact = bundle.manifest.artifact(format, contender.entry)
        assert artifact is not None
        return artifact.path
    return variant_path(candidate, f"{contender.entry}.onnx")
