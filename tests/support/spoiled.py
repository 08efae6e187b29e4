"""A runtime that is wrong in one place of the small model."""

import numpy as np

from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import runtime_named


def spoiled(bundle, unit=2):
    """ONNX Runtime, with one unit of the second layer's state a little off."""
    loaded = {}

    def answer(entry, feeds):
        if entry.name not in loaded:
            options = RunOptions(entry=entry.name)
            loaded[entry.name] = runtime_named("ort-cpu").load(bundle, options)
        results = loaded[entry.name].run(feeds)
        if "second_h_out" in results:
            results["second_h_out"][:, unit] += np.float32(1e-3)
        return results

    return FakeRuntime(answer, name="spoiled")
