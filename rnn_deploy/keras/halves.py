"""The encoder and the decoder of a model, as parts that are traced in place of the model.

Both call the whole model. The encoder returns some intermediate results of its layers. The decoder
replaces these results by its memory, and the initial states by its states. The inputs of the other
side are zeros, on which nothing depends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rnn_deploy.keras.layer_calls import (
    CallPlace,
    CallWatcher,
    mask_of,
    set_mask,
    watching_calls,
)
from rnn_deploy.keras.part import ModelPart
from rnn_deploy.keras.signature import call_flat
from rnn_deploy.keras.splitting import MemoryTensor, Split
from rnn_deploy.keras.tensorflow import keras, tf
from rnn_deploy.spec import TensorSpec


class Half(ModelPart):
    """One side of a split model. inputs: those of the whole model."""

    def __init__(self, model: Any, split: Split, inputs: Sequence[TensorSpec]) -> None:
        super().__init__(model)
        self.split, self.inputs_of_model = split, tuple(inputs)

    def _whole(self, given: Mapping[str, Any]) -> list[Any]:
        """Call the whole model; missing inputs are zeros."""
        like = next(iter(given.values()))
        return call_flat(
            self.model,
            [given.get(t.name, None) if t.name in given else _zeros(t, like)
             for t in self.inputs_of_model],
        )  # fmt: skip


class Encoder(Half):
    """Returns the decoder's memory and initial states, and the outputs that need no target."""

    def call_flat(self, tensors: Sequence[Any]) -> list[Any]:
        split, noted = self.split, _Noted(self.split)
        with watching_calls(noted):
            outputs = self._whole(dict(zip(split.sources, tensors, strict=True)))
        return [*noted.values(), *(outputs[i] for i in split.encoder_outputs)]


class Decoder(Half):
    """Takes the target and the memory; its recurrent layers start from the states of a stream."""

    def call_flat(self, tensors: Sequence[Any]) -> list[Any]:
        split = self.split
        given = dict(zip([*split.targets, *(m.name for m in split.memory)], tensors, strict=True))
        kept = {m.name for m in split.memory if not m.places} | set(split.targets)
        with watching_calls(_Replaced(split, given)):
            outputs = self._whole({name: given[name] for name in given if name in kept})
        return [outputs[i] for i in split.decoder_outputs]


class WholeModel(Half):
    """The whole model, which also returns the memory and the initial states."""

    def call_flat(self, tensors: Sequence[Any]) -> list[Any]:
        noted = _Noted(self.split)
        with watching_calls(noted):
            outputs = call_flat(self.model, tensors)
        return [*outputs, *noted.values()]


class _Noted(CallWatcher):
    """Records the memory and the initial states that the model computes."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._memory: dict[str, Any] = {}
        self._initial: dict[CallPlace, list[Any]] = {}

    def starting(self, place: CallPlace, initial_state: Any) -> Any:
        if place in self._split.initial:
            self._initial[place] = list(keras.tree.flatten(initial_state))
        return initial_state

    def after(self, place: CallPlace, layer: Any, result: Any) -> Any:
        for part in self._split.memory:
            if part.places[-1:] == (place,):
                flat = keras.tree.flatten(result)
                self._memory[part.name] = (
                    mask_of(flat[0]) if part.output is None else flat[part.output]
                )
        return result

    def values(self) -> list[Any]:
        """Return the memory and then the initial states, in the order of the split."""
        memory = [self._memory[part.name] for part in self._split.memory if part.places]
        states = [state for place in self._split.initial for state in self._initial[place]]
        # Keras merges two outputs that are the same tensor.
        return [tf.identity(tensor) for tensor in (*memory, *states)]


class _Replaced(CallWatcher):
    """Replaces results of layers by the memory, and removes initial states."""

    def __init__(self, split: Split, given: Mapping[str, Any]) -> None:
        self._split, self._given = split, given
        self._outputs: dict[CallPlace, list[MemoryTensor]] = {}
        self._masks: dict[CallPlace, str] = {}
        for part in split.memory:
            for place in part.places:
                if part.output is None:
                    self._masks[place] = part.name
                else:
                    self._outputs.setdefault(place, []).append(part)

    def starting(self, place: CallPlace, initial_state: Any) -> Any:
        return None if place in self._split.initial else initial_state

    def after(self, place: CallPlace, layer: Any, result: Any) -> Any:
        if place not in self._outputs and place not in self._masks:
            return result
        flat = list(keras.tree.flatten(result))
        masks = [mask_of(tensor) for tensor in flat]
        for part in self._outputs.get(place, []):
            assert part.output is not None
            flat[part.output] = tf.cast(self._given[part.name], flat[part.output].dtype)
        if place in self._masks:
            own = self._given[self._masks[place]]
            masks = [mask if mask is None else own for mask in masks]
        flat = [tf.identity(tensor) for tensor in flat]
        for tensor, mask in zip(flat, masks, strict=True):
            if mask is not None:
                set_mask(tensor, mask)
        return keras.tree.pack_sequence_as(result, flat)


def _zeros(tensor: TensorSpec, like: Any) -> Any:
    """Return zeros with an input's shape, its open lengths open, and as many rows as `like`."""
    rows = tf.shape(like)[0]
    open_sizes = [rows, tf.minimum(rows, 1)]
    sizes = [
        dim if isinstance(dim, int) else open_sizes[min(axis, 1)]
        for axis, dim in enumerate(tensor.shape)
    ]
    zeros = tf.zeros(tf.stack(sizes), tensor.dtype)
    # TensorFlow must not know the open lengths: masks of the memory have other ones.
    shape = [dim if isinstance(dim, int) else None for dim in tensor.shape]
    return tf.raw_ops.PlaceholderWithDefault(input=zeros, shape=shape)
