"""The runtimes by name, and which of them are available."""

from dataclasses import dataclass

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.runtimes.base import Runtime, why_wrong
from rnn_deploy.runtimes.c import CRuntime
from rnn_deploy.runtimes.litert import LiteRtRuntime
from rnn_deploy.runtimes.onnxruntime import OrtRuntime
from rnn_deploy.runtimes.openvino import OpenVinoRuntime
from rnn_deploy.runtimes.ort_web.runtime import OrtWebRuntime
from rnn_deploy.runtimes.tflite_micro import MicroRuntime
from rnn_deploy.runtimes.tuned import TunedRuntime

RUNTIMES: dict[str, Runtime] = {
    "ort-cpu": OrtRuntime("ort-cpu", "CPUExecutionProvider"),
    "ort-cuda": OrtRuntime("ort-cuda", "CUDAExecutionProvider"),
    "litert": LiteRtRuntime(),
    "openvino-cpu": OpenVinoRuntime(),
    "tflite-micro": MicroRuntime(),
    "c": CRuntime(),
    "ort-web": OrtWebRuntime(),
}
# Not among them, because it runs the others according to a bundle's plan.
BY_PLAN = TunedRuntime(RUNTIMES)


@dataclass(frozen=True)
class SkippedRuntime:
    """A runtime that is not used, with the reason."""

    runtime: str
    reason: str


def runtime_named(name: str) -> Runtime:
    """Return the runtime called `name`; raise InputError for an unknown name."""
    if name == BY_PLAN.name:
        return BY_PLAN
    if name not in RUNTIMES:
        raise InputError(
            "E-RUNTIME-UNKNOWN", f"expected a runtime of {', '.join(RUNTIMES)}, got '{name}'"
        )
    return RUNTIMES[name]


def runtimes_for(bundle: Bundle) -> tuple[list[Runtime], list[SkippedRuntime]]:
    """Return the available runtimes that have an artifact in `bundle`, and the others with reasons.

    If the bundle has a plan, the runtime that follows it comes first.
    """
    formats = {artifact.format for artifact in bundle.manifest.artifacts}
    usable: list[Runtime] = [] if bundle.manifest.plan is None else [BY_PLAN]
    skipped = []
    for name, runtime in RUNTIMES.items():
        why = runtime.why_unavailable()
        if runtime.format not in formats:
            why = f"the bundle has no {runtime.format} artifact"
        why = why or why_wrong(bundle, runtime)
        if why is None:
            usable.append(runtime)
        else:
            skipped.append(SkippedRuntime(name, why))
    return usable, skipped


def possible_runtimes(bundle: Bundle) -> tuple[str, ...]:
    """Return the names of the runtimes that have a model file in `bundle`, installed or not."""
    formats = {artifact.format for artifact in bundle.manifest.artifacts}
    return tuple(name for name, runtime in RUNTIMES.items() if runtime.format in formats)


def default_runtime(bundle: Bundle) -> Runtime:
    """Return the first runtime that can run `bundle`; raise RuntimeUnavailableError if none can."""
    usable, skipped = runtimes_for(bundle)
    if usable:
        return usable[0]
    reasons = "; ".join(f"{s.runtime}: {s.reason}" for s in skipped)
    raise RuntimeUnavailableError(
        "E-RUNTIME-NONE", f"{bundle.root}: no runtime here can run it ({reasons})"
    )
