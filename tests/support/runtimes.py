"""The runtimes that are installed, as the suite runs them."""

from dataclasses import replace

from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.onnxruntime import OrtRuntime
from rnn_deploy.runtimes.registry import RUNTIMES


class WaitingOrtRuntime(OrtRuntime):
    """ONNX Runtime whose threads sleep between calls, where they usually spin.

    Spinning takes two thirds of the processor time of a small model's verification, and takes it
    from the other processes of the suite. What is computed, and on how many threads, is the same.
    """

    def load(self, bundle, options: RunOptions) -> Runner:
        return super().load(bundle, replace(options, session=(*options.session, SLEEPING)))


SLEEPING = ("spinning", "off")


def available() -> list[Runtime]:
    """Return the runtimes that can be used here, except ort-web, which has tests of its own.

    Whether that is here depends on the tests that ran before, which may have fetched its package.
    """
    known = [runtime for name, runtime in RUNTIMES.items() if name != "ort-web"]
    here = [runtime for runtime in known if runtime.why_unavailable() is None]
    return [
        WaitingOrtRuntime(r.name, r.provider, r.format) if type(r) is OrtRuntime else r
        for r in here
    ]
