"""Inputs and outputs of a subclassed model, from the shapes that it was built with.

Its inputs are one tensor, or a list or dict of tensors: the first argument of the user's `call`.
Keras stores their shapes when the model is built or first called; names are the dict's keys, or the
argument's name.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.keras import access
from rnn_deploy.keras.tensorflow import keras

Shape = tuple[int | None, ...]


def inputs_of(model: Any) -> list[tuple[str, Shape]]:
    """Return the names and shapes of the inputs, in flat order; the batch is open."""
    found: list[tuple[str, Shape]] = []
    _collect(_structure(model), _argument(model), found)
    return [(name, (None, *shape[1:])) for name, shape in found]


def output_names(model: Any, inputs: Sequence[tuple[Shape, str]]) -> list[str]:
    """Return the outputs' names for inputs of these shapes and dtypes: a dict's keys or numbers."""
    tensors = [keras.KerasTensor(shape, dtype) for shape, dtype in inputs]
    try:
        outputs = model.compute_output_spec(_packed(model, tensors))
    except Exception as error:  # the user's call may raise anything
        raise UnsupportedModelError(
            "E-MODEL-TRACE",
            f"model '{model.name}': its call cannot be traced with inputs {list(inputs)}:"
            f" {one_line(error)}; call it with such inputs to see the whole error",
        ) from error
    if isinstance(outputs, dict):
        return [str(path[0]) for path, _ in keras.tree.flatten_with_path(outputs)]
    count = len(keras.tree.flatten(outputs))
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def call_flat(model: Any, tensors: Sequence[Any]) -> list[Any]:
    """Call the model for inference on its inputs in flat order; return its outputs likewise."""
    options = {"training": False} if access.takes_training(model) else {}
    return list(keras.tree.flatten(model(_packed(model, tensors), **options)))


def _structure(model: Any) -> Any:
    shapes = access.build_shapes(model)
    if not model.built or not shapes:
        raise UnsupportedModelError(
            "E-MODEL-UNCALLED",
            f"model '{model.name}' was never called, so its inputs are unknown; call it once before"
            " the export, on keras.Input((None, width)) for an open number of steps",
        )
    tensors = [p.name for p in _parameters(model) if p.default is inspect.Parameter.empty]
    if len(shapes) > 1 or len(tensors) > 1:
        raise UnsupportedModelError(
            "E-MODEL-ARGUMENTS",
            f"model '{model.name}': its call takes several arguments ({', '.join(tensors)}), whose"
            " shapes Keras does not keep; let it take one dict of tensors",
        )
    return next(iter(shapes.values()))


def _argument(model: Any) -> str:
    return str(_parameters(model)[0].name)


def _parameters(model: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(model.call).parameters.values())


def _collect(structure: Any, name: str, found: list[tuple[str, Shape]]) -> None:
    if isinstance(structure, dict):
        for key in sorted(structure):  # the order in which Keras flattens
            _collect(structure[key], str(key), found)
    elif _is_shape(structure):
        found.append((name, tuple(structure)))
    else:
        for index, part in enumerate(structure):
            _collect(part, f"{name}_{index}", found)


def _packed(model: Any, tensors: Sequence[Any]) -> Any:
    remaining = iter(tensors)

    def pack(structure: Any) -> Any:
        if isinstance(structure, dict):
            packed = {key: pack(structure[key]) for key in sorted(structure)}
            return {key: packed[key] for key in structure}
        return next(remaining) if _is_shape(structure) else [pack(part) for part in structure]

    return pack(_structure(model))


def _is_shape(structure: Any) -> bool:
    dims = isinstance(structure, tuple | list)
    return dims and all(dim is None or isinstance(dim, int) for dim in structure)
