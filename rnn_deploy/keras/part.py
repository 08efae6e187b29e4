"""A part of a model that is traced in place of the model; it has the same layers."""

import copy
from collections.abc import Sequence
from typing import Any, Self

from rnn_deploy.keras import access


class ModelPart:
    """A call of a model with other inputs and outputs than the model has.

    model: the whole model; the part has the same layers.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.name: str = model.name

    def of(self, model: Any) -> Self:
        """Return the same part of another model, which has the same layers."""
        part = copy.copy(self)
        part.model = model
        return part

    def call_flat(self, tensors: Sequence[Any]) -> list[Any]:
        """Call the part for inference on its inputs in order; return its outputs in order."""
        raise NotImplementedError

    def _flatten_layers(self, include_self: bool = True) -> list[Any]:
        """Return the layers of the model, like Keras' own models (`access.layers_in`)."""
        return access.layers_in(self.model, include_self=include_self)
