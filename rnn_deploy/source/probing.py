"""What goes into every recurrent layer of the original model, and what comes out of it.

Each call of a layer with Keras' own cells is seen from inside the model: its input, mask and
initial states, its output and final states, in the precision of the reference that is watched.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_deploy.cells import LayerRun
from rnn_deploy.source.intercept import Call
from rnn_deploy.source.reading import read
from rnn_deploy.source.reference import Reference
from rnn_deploy.source.tensorflow import tf
from rnn_deploy.spec import Array, RecurrentLayer


class Probe:
    """A reference whose recurrent layers are watched while it runs."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._layers: list[tuple[RecurrentLayer, ...] | None] = []
        self._function = reference.watching(self._watch)

    def run(self, feeds: Mapping[str, Array]) -> list[LayerRun]:
        """Every recurrent call whose cells are all known, in order."""
        runs = []
        seen = self._reference.results(self._function, feeds)
        for layers, tensors in zip(self._layers, seen, strict=True):
            if layers is not None:
                runs.append(_run(layers, tensors))
        return runs

    def _watch(self, call: Call, before: list[Any] | None, output: Any, after: list[Any]) -> Any:
        stack = read(call)
        known = tuple(layer for layer in stack if isinstance(layer, RecurrentLayer))
        self._layers.append(known if len(known) == len(stack) else None)
        return {
            "x": tf.convert_to_tensor(call.sequences),
            "mask": [] if call.mask is None else [call.mask],
            "before": list(before or []),
            "output": output,
            "after": list(after),
        }


def _run(layers: tuple[RecurrentLayer, ...], tensors: Mapping[str, Any]) -> LayerRun:
    x = tensors["x"].numpy()
    shapes = [shape for layer in layers for shape in layer.state_shapes]
    before = [state.numpy() for state in tensors["before"]]
    before = before or [np.zeros((x.shape[0], *shape), x.dtype) for shape in shapes]
    mask = tensors["mask"][0].numpy() if tensors["mask"] else None
    output = tensors["output"].numpy()
    return LayerRun(
        layers, x, mask, tuple(before), output, tuple(state.numpy() for state in tensors["after"])
    )
