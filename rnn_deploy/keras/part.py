"""A part of a model that is traced in the model's place: it has the same layers."""

import copy
from collections.abc import Sequence
from typing import Any, Self

from rnn_deploy.keras import access


class ModelPart:
    """A call of a model that takes and returns other tensors than the model does.

    model: the whole model, whose layers are those of the part.
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
        """Return the layers of the model, as Keras' models do (`access.layers_in`)."""
        return access.layers_in(self.model, include_self=include_self)
