"""Names, shapes and dtypes of a Keras model's inputs and outputs, as the model says them.

A dimension that Keras leaves open becomes a symbol: axis 0 "batch", axis 1 "time" (one per
input, "<input>_time", when several inputs have lengths of their own).
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras import subclassed
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.spec import Array, Dim, TensorSpec

BATCH = "batch"
TIME = "time"


@dataclass(frozen=True)
class Signature:
    """A model's inputs, and the names of its outputs, in the order Keras flattens them."""

    inputs: tuple[TensorSpec, ...]
    output_names: tuple[str, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of the inputs, once."""
        dims = (dim for tensor in self.inputs for dim in tensor.shape)
        return tuple(dict.fromkeys(dim for dim in dims if isinstance(dim, str)))


def signature_of(model: Any, samples: Mapping[str, Array] | None = None) -> Signature:
    """Read a model's signature; UnsupportedModelError where it does not say it.

    samples: real inputs, by which the dtypes of a subclassed model's inputs are known; they are
    float32 otherwise.
    """
    if is_functional(model):
        return _of_functional(model)
    return _of_subclassed(model, samples)


def call_flat(model: Any, tensors: Sequence[Any]) -> list[Any]:
    """Call `model` for inference on its inputs in flat order; outputs in flat order."""
    if is_functional(model):
        structure = _functional(model)._inputs_struct
        packed = keras.tree.pack_sequence_as(structure, list(tensors))
        return list(keras.tree.flatten(model(packed, training=False)))
    return subclassed.call_flat(model, tensors)


def _of_functional(model: Any) -> Signature:
    names = _unique([t._keras_history.operation.name for t in model.inputs], taken=())
    _refuse_all_but_arrays(names, model)
    lengths = sum(len(t.shape) > 1 and t.shape[1] is None for t in model.inputs)
    inputs = tuple(
        TensorSpec(name, dims_of(name, t.shape, alone=lengths <= 1), str(t.dtype))
        for name, t in zip(names, model.inputs, strict=True)
    )
    return Signature(inputs, _unique(_output_names(_functional(model)), taken=names))


def _of_subclassed(model: Any, samples: Mapping[str, Array] | None) -> Signature:
    found = subclassed.inputs_of(model)
    names = _unique([name for name, _ in found], taken=())
    lengths = sum(len(shape) > 1 and shape[1] is None for _, shape in found)
    real = samples or {}
    inputs = tuple(
        TensorSpec(
            name,
            dims_of(name, shape, alone=lengths <= 1),
            str(real[name].dtype) if name in real else "float32",
        )
        for name, (_, shape) in zip(names, found, strict=True)
    )
    facts = [(shape, t.dtype) for (_, shape), t in zip(found, inputs, strict=True)]
    return Signature(inputs, _unique(subclassed.output_names(model, facts), taken=names))


def with_time(signature: Signature, time: Callable[[TensorSpec], Dim]) -> Signature:
    """The signature with axis 1 of every input that has one set to `time(input)`."""

    def changed(tensor: TensorSpec) -> TensorSpec:
        if len(tensor.shape) < 2:
            return tensor
        return replace(tensor, shape=(tensor.shape[0], time(tensor), *tensor.shape[2:]))

    return replace(signature, inputs=tuple(changed(tensor) for tensor in signature.inputs))


def _refuse_all_but_arrays(names: Sequence[str], model: Any) -> None:
    for name, tensor in zip(names, model.inputs, strict=True):
        for kind, is_so, advice in (
            ("text", str(tensor.dtype) == "string", _BEGIN_AT_IDS),
            ("ragged", getattr(tensor, "ragged", False), _PAD),
            (
                "sparse",
                getattr(tensor, "sparse", False),
                "give it dense: keras.Input(sparse=False)",
            ),
        ):
            if is_so:
                raise UnsupportedModelError(
                    f"input '{name}' is {kind}, which is not exported; {advice}"
                )


_BEGIN_AT_IDS = "make a model that begins at the token ids and keep the text's part beside it"
_PAD = "pad its rows and mask them: keras.layers.Masking, or Embedding(mask_zero=True)"


def is_functional(model: Any) -> bool:
    """Whether a model keeps its inputs and outputs as a graph of layers."""
    return bool(getattr(model, "inputs", None)) and hasattr(_functional(model), "_inputs_struct")


def _functional(model: Any) -> Any:
    return getattr(model, "_functional", None) or model


def _output_names(functional: Any) -> list[str]:
    structure = functional._outputs_struct
    if isinstance(structure, dict):
        return [str(path[0]) for path, _ in keras.tree.flatten_with_path(structure)]
    return [t._keras_history.operation.name for t in functional.outputs]


def _unique(names: list[str], taken: Sequence[str]) -> tuple[str, ...]:
    """Names made different from each other (a_1, a_2) and from those taken (a_out)."""
    result: list[str] = []
    for name in names:
        base = f"{name}_out" if name in taken else name
        result.append(next(c for c in _numbered(base) if c not in (*result, *taken)))
    return tuple(result)


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}_{i}" for i in itertools.count(1))


def dims_of(name: str, shape: Sequence[int | None], *, alone: bool) -> tuple[Dim, ...]:
    """A shape with its open dimensions named; alone: no other input has a length of its own."""
    symbols = {0: BATCH, 1: TIME if alone else f"{name}_{TIME}"}
    return tuple(
        symbols.get(axis, f"{name}_axis{axis}") if dim is None else dim
        for axis, dim in enumerate(shape)
    )


@contextmanager
def taking_any_length(model: Any) -> Iterator[None]:
    """Let models be called with shapes that they were not declared with; layers look at theirs."""
    models = [layer for layer in model._flatten_layers() if isinstance(layer, keras.Model)]
    for each in models:
        object.__setattr__(each, "_assert_input_compatibility", lambda *_: None)
    try:
        yield
    finally:
        for each in models:
            object.__delattr__(each, "_assert_input_compatibility")
