"""Verify and measure bundles on a GPU: what `scripts/gpu-check` does.

    bundle --load, which proves where nodes are--> --verify--> --measure beside the CPU--> facts

Needs NumPy and onnxruntime-gpu. A bundle that does not load (a node placed elsewhere) or does not
verify has its reason in its facts, and the rest goes on.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.perf.bench.feeds import feeds_of
from rnn_deploy.perf.bench.measure import measure, ratio
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.placement import ReportsPlacement
from rnn_deploy.spec import SEQUENCE, EntryPoint
from rnn_deploy.spec.shapes import Shape
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.report.environment import environment

Facts = dict[str, Any]
Progress = Callable[[str], None]
BATCHES, TIMES = (1, 8, 64, 512, 4096), (1, 10, 100, 1000)
MOST_STEPS = 200_000  # of all sequences of a batch together; on the CPU a tenth of it


def checked(
    bundles: Sequence[Bundle], gpu: Runtime, cpu: Runtime, *, seconds: float,
    progress: Progress = lambda step: None,
) -> Facts:  # fmt: skip
    """What was found: the machine, or why there is no GPU, and each bundle's facts."""
    facts: Facts = {
        **environment([gpu]), "card": card(), "no_gpu": gpu.why_unavailable(), "bundles": []
    }  # fmt: skip
    if facts["no_gpu"] is None:
        facts["bundles"] = [_of(bundle, gpu, cpu, seconds, progress) for bundle in bundles]
    return facts


def card() -> str | None:
    """The card's name, driver and memory, as the driver's own tool tells them; None without it."""
    asked = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None


def passed(facts: Facts) -> bool:
    """Whether there was a GPU and every bundle was verified on it."""
    return bool(facts["bundles"]) and all(one["verified"] for one in facts["bundles"])


def _of(bundle: Bundle, gpu: Runtime, cpu: Runtime, seconds: float, progress: Progress) -> Facts:
    entry = bundle.manifest.entry(SEQUENCE)
    artifact = bundle.manifest.artifact(gpu.format, SEQUENCE)
    choices = artifact.choices if artifact else ()
    facts: Facts = {"bundle": bundle.root.name, "digest": bundle.digest, "verified": False,
                    "inputs": [str(tensor) for tensor in entry.inputs],
                    "layers": [f"{c.layer} ({c.cell}, {c.units}): {c.lowering}" for c in choices],
                    "why": None, "placements": {}, "comparisons": 0, "timings": []}  # fmt: skip
    progress(f"{bundle.root.name}: verifying on {gpu.name}")
    try:
        runners = {r.name: r.load(bundle, RunOptions()) for r in (gpu, cpu)}
        facts["placements"] = _placements(bundle, gpu)
        report = verify(bundle, runtimes=[gpu])
    except RnnDeployError as error:
        return {**facts, "why": str(error)}
    facts["comparisons"] = len(report.comparisons)
    if not report.passed:
        return {**facts, "why": "some comparisons left their budgets; see rnn-deploy verify"}
    facts["verified"] = True
    for shape in _shapes(entry):
        progress(f"{bundle.root.name}: {shape}")
        facts["timings"].append(_timed(entry, shape, runners, gpu.name, seconds))
    return facts


def _placements(bundle: Bundle, gpu: Runtime) -> dict[str, dict[str, int]]:
    """How many nodes of each operator ran on each provider, from ONNX Runtime's profile."""
    nodes = gpu.placements(bundle, RunOptions()) if isinstance(gpu, ReportsPlacement) else None
    found: dict[str, dict[str, int]] = {}
    for node in nodes or ():
        of_provider = found.setdefault(node.provider, {})
        of_provider[node.op_type] = of_provider.get(node.op_type, 0) + 1
    return found


def _shapes(entry: EntryPoint) -> Iterator[Shape]:
    for batch in BATCHES:
        for time in TIMES:
            fits = all(
                dim in (size, None) or isinstance(dim, str)
                for dim, size in zip(entry.inputs[0].shape, (batch, time), strict=False)
            )
            if fits and batch * time <= MOST_STEPS:
                yield Shape(batch, time)


def _timed(
    entry: EntryPoint, shape: Shape, runners: Mapping[str, Any], gpu: str, seconds: float
) -> Facts:
    feeds = feeds_of(entry, shape)
    few = shape.batch * shape.time <= MOST_STEPS / 10
    calls = {name: partial(r.run, feeds) for name, r in runners.items() if few or name == gpu}
    try:
        timings = measure(calls, seconds=seconds)
    except RnnDeployError as error:
        return {"shape": str(shape), "why": str(error)}
    facts: Facts = {"shape": str(shape)}
    for name, timing in timings.items():
        facts[name] = {"median_us": timing.median_us, "p95_us": timing.p95_us}
        if name != gpu:
            facts["times_as_fast"] = ratio(timing, timings[gpu])
    return facts
