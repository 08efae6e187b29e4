"""The output of every layer of the original model, for a comparison layer by layer.

Every layer's call goes through `keras.layers.Layer.__call__`. While the model is traced, each
call's floating-point outputs are recorded under the layer's name, which is made unique. A layer
inside a loop is left out: its values exist only step by step.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rnn_deploy.keras import access, compat
from rnn_deploy.keras.intercept import unused
from rnn_deploy.keras.keras2.package import is_keras2
from rnn_deploy.keras.tensorflow import keras, tf
from rnn_deploy.references.reference import Reference
from rnn_deploy.spec import Array

Noted = list[tuple[str, Any]]


class LayerOutputs:
    """A reference that returns the output of every layer; a model's own inputs are not layers."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._names: list[str] = []
        self._function = reference.traced(self._call)

    def run(self, feeds: Mapping[str, Array]) -> list[tuple[str, Array]]:
        """Return each layer's name and its output, in the order of the calls."""
        values = self._reference.results(self._function, feeds)
        return [(name, value.numpy()) for name, value in zip(self._names, values, strict=True)]

    def _call(self, *tensors: Any) -> list[Any]:
        noted: Noted = []
        with _noting(noted, self._reference.model):
            self._reference.call(*tensors)
        self._names = [name for name, _ in noted]
        return [tensor for _, tensor in noted]


@contextmanager
def _noting(noted: Noted, model: Any) -> Iterator[None]:
    module = access.layer_modules()[-1 if is_keras2(model) else 0]
    original = module.Layer.__call__
    graph = tf.compat.v1.get_default_graph()
    used: set[str] = set()

    def call(self: Any, *args: Any, **options: Any) -> Any:
        outputs = original(self, *args, **options)
        tensors = keras.tree.flatten(outputs)
        if self is model or not tensors or access.is_a(self, "InputLayer"):
            return outputs
        if hasattr(self, "state_size") and not access.is_a(self, "RNN"):
            return outputs  # a cell that is called for one step
        first = tensors[0]
        if isinstance(first, tf.Tensor) and first.graph is graph and first.dtype.is_floating:
            name = unused(self.name, used)
            used.add(name)
            noted.append((name, first))
        return outputs

    with compat.replaced(module.Layer, "__call__", call):
        yield
