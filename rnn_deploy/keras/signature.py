"""Names, shapes and dtypes of a Keras model's inputs and outputs, as the model declares them.

An open dimension becomes a symbol: axis 0 "batch", axis 1 "time" ("<input>_time" if several inputs
have open lengths).
"""

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras import access, subclassed
from rnn_deploy.keras.keras2.package import is_keras2, package
from rnn_deploy.keras.part import ModelPart
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.keras.training import called_for_inference
from rnn_deploy.spec import Array, Dim, TensorSpec

_DTYPES = ("float32", "int32", "bool")
_MOST_DTYPES = 81  # the most combinations that are tried
BATCH = "batch"
TIME = "time"


@dataclass(frozen=True)
class Signature:
    """A model's inputs and the names of its outputs, in the order in which Keras flattens them."""

    inputs: tuple[TensorSpec, ...]
    output_names: tuple[str, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of the inputs, once."""
        dims = (dim for tensor in self.inputs for dim in tensor.shape)
        return tuple(dict.fromkeys(dim for dim in dims if isinstance(dim, str)))


def signature_of(model: Any, samples: Mapping[str, Array] | None = None) -> Signature:
    """Read a model's signature.

    samples: real inputs, which determine the dtypes of a subclassed model's inputs; without them
    the inputs are float32.

    Raises UnsupportedModelError if the model's inputs are unknown.
    """
    if is_functional(model):
        return _of_functional(model)
    if is_keras2(model):
        raise UnsupportedModelError(
            "E-MODEL-KERAS2-SUBCLASSED",
            f"model '{model.name}' is a subclassed model of Keras 2, which keeps no inputs; wrap it"
            " as tf_keras.Model(x, model(x)) with x = tf_keras.Input((None, width))",
        )
    return _of_subclassed(model, samples)


def call_flat(model: Any, tensors: Sequence[Any]) -> list[Any]:
    """Call `model` for inference on its inputs in flat order; return its outputs in flat order.

    Layers that the model calls with training=True stay in training mode (`training`).
    """
    if isinstance(model, ModelPart):
        return model.call_flat(tensors)
    with called_for_inference(model), warnings.catch_warnings():
        # Golden vectors have a source of one step, for which this is right.
        warnings.filterwarnings("ignore", message=".*using a softmax over axis")
        if not is_functional(model):
            return subclassed.call_flat(model, tensors)
        structure = access.input_structure(access.functional_of(model))
        outputs = model(access.packed_as(structure, list(tensors)), training=False)
        return list(keras.tree.flatten(outputs))


def _of_functional(model: Any) -> Signature:
    if is_keras2(model) and access.remembered_batch(model) is not None:
        # For another batch Keras builds the graph again: do it once here, not in every trace.
        given = model.inputs[0]
        model(package().Input(batch_shape=(None, *given.shape[1:]), dtype=given.dtype))
    return _of_graph(model)


def _of_graph(model: Any) -> Signature:
    names = _unique([access.layer_that_made(t).name for t in model.inputs], taken=())
    _refuse_all_but_arrays(names, model)
    lengths = sum(len(t.shape) > 1 and t.shape[1] is None for t in model.inputs)
    remembered = access.remembered_batch(model) is not None

    def shape(tensor: Any) -> tuple[int | None, ...]:
        return (None, *tensor.shape[1:]) if remembered else tuple(tensor.shape)

    inputs = tuple(
        TensorSpec(name, dims_of(name, shape(t), alone=lengths <= 1), _dtype_of(t))
        for name, t in zip(names, model.inputs, strict=True)
    )
    return Signature(inputs, _unique(_output_names(access.functional_of(model)), taken=names))


def _of_subclassed(model: Any, samples: Mapping[str, Array] | None) -> Signature:
    found = subclassed.inputs_of(model)
    names = _unique([name for name, _ in found], taken=())
    lengths = sum(len(shape) > 1 and shape[1] is None for _, shape in found)
    shapes = [shape for _, shape in found]
    refusal: UnsupportedModelError | None = None
    for dtypes in _possible_dtypes(model, names, samples or {}):
        try:
            outputs = subclassed.output_names(model, list(zip(shapes, dtypes, strict=True)))
        except UnsupportedModelError as error:
            refusal = refusal or error
            continue
        inputs = tuple(
            TensorSpec(name, dims_of(name, shape, alone=lengths <= 1), dtype)
            for name, shape, dtype in zip(names, shapes, dtypes, strict=True)
        )
        return Signature(inputs, _unique(outputs, taken=names))
    assert refusal is not None
    raise refusal


def _possible_dtypes(
    model: Any, names: Sequence[str], real: Mapping[str, Array]
) -> Iterator[tuple[str, ...]]:
    """Yield the dtypes that a subclassed model's inputs may have, the likeliest first.

    Keras remembers the dtypes of symbolic tensors from the first call, and none of arrays.
    """
    called = access.dtypes_of_first_call(model)
    known = dict(zip(names, called, strict=True)) if len(called) == len(names) else {}
    known |= {name: str(value.dtype) for name, value in real.items()}
    possible = [(known[name],) if name in known else _DTYPES for name in names]
    return itertools.islice(itertools.product(*possible), _MOST_DTYPES)


def with_used_dtypes(model: Any, signature: Signature, used: Mapping[str, str]) -> Signature:
    """Return the signature with the dtypes in which the model uses its inputs.

    Only guessed dtypes are replaced: those of a subclassed model that was called on arrays.
    """
    if is_functional(model) or access.dtypes_of_first_call(model):
        return signature
    inputs = (replace(t, dtype=used.get(t.name, t.dtype)) for t in signature.inputs)
    return replace(signature, inputs=tuple(inputs))


def _dtype_of(tensor: Any) -> str:
    return str(keras.backend.standardize_dtype(tensor.dtype))


def with_time(signature: Signature, time: Callable[[TensorSpec], Dim]) -> Signature:
    """Return the signature; axis 1 of each input that has one is `time(input)`."""

    def changed(tensor: TensorSpec) -> TensorSpec:
        if len(tensor.shape) < 2:
            return tensor
        return replace(tensor, shape=(tensor.shape[0], time(tensor), *tensor.shape[2:]))

    return replace(signature, inputs=tuple(changed(tensor) for tensor in signature.inputs))


def _refuse_all_but_arrays(names: Sequence[str], model: Any) -> None:
    for name, tensor in zip(names, model.inputs, strict=True):
        kind = access.kind_of_input(tensor)
        if kind != "dense":
            raise UnsupportedModelError(
                _CODE[kind],
                f"input '{name}' is {kind}, which cannot be exported; {_ADVICE[kind]}",
            )


_CODE = {
    "text": "E-MODEL-TEXT-INPUT",
    "ragged": "E-MODEL-RAGGED-INPUT",
    "sparse": "E-MODEL-SPARSE-INPUT",
}
_ADVICE = {
    "text": "make a model that starts at the token ids, and turn text into ids outside of it",
    "ragged": "pad its rows and mask them: keras.layers.Masking, or Embedding(mask_zero=True)",
    "sparse": "declare it dense: keras.Input(sparse=False)",
}


def is_functional(model: Any) -> bool:
    """Return whether a model stores its inputs and outputs as a graph of layers."""
    return bool(getattr(model, "inputs", None)) and access.functional_of(model) is not None


def _output_names(functional: Any) -> list[str]:
    structure = access.output_structure(functional)
    if isinstance(structure, dict):
        return [str(path[0]) for path, _ in keras.tree.flatten_with_path(structure)]
    return [access.layer_that_made(t).name for t in functional.outputs]


def _unique(names: list[str], taken: Sequence[str]) -> tuple[str, ...]:
    """Make names unique (a_1, a_2) and different from the taken ones (a_out)."""
    result: list[str] = []
    for name in names:
        base = f"{name}_out" if name in taken else name
        result.append(next(c for c in _numbered(base) if c not in (*result, *taken)))
    return tuple(result)


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}_{i}" for i in itertools.count(1))


def dims_of(name: str, shape: Sequence[int | None], *, alone: bool) -> tuple[Dim, ...]:
    """Name the open dimensions of a shape. alone: no other input has an open length."""
    symbols = {0: BATCH, 1: TIME if alone else f"{name}_{TIME}"}
    return tuple(
        symbols.get(axis, f"{name}_axis{axis}") if dim is None else dim
        for axis, dim in enumerate(shape)
    )


@contextmanager
def taking_any_length(model: Any) -> Iterator[None]:
    """While open, models accept shapes that differ from the declared ones; their layers check."""
    models = [layer for layer in access.layers_in(model) if access.is_model(layer)]
    with access.accepting_any_shape(models):
        yield
