"""Private attributes of models and layers, of Keras 3 and of Keras 2 (tf_keras)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from rnn_deploy.keras.compat import Functional
from rnn_deploy.keras.keras2.package import is_keras2, loaded
from rnn_deploy.keras.tensorflow import keras, tf

_ABSENT = object()


def layers_in(model: Any, *, include_self: bool = True) -> list[Any]:
    """Return every layer of a model, including layers inside layers."""
    return list(model._flatten_layers(include_self=include_self))


def layer_modules() -> tuple[Any, ...]:
    """Return the modules of layer classes: Keras 3's, and tf_keras' if it is loaded."""
    package = loaded()
    return (keras.layers,) if package is None else (keras.layers, package.layers)


def is_a(thing: Any, *kinds: str) -> bool:
    """Return whether a layer is of one of these classes of Keras, in either version."""
    return any(
        isinstance(thing, getattr(module, kind))
        for module in layer_modules()
        for kind in kinds
        if hasattr(module, kind)
    )


def is_model(thing: Any) -> bool:
    """Return whether something is a Keras model, in either version."""
    package = loaded()
    return isinstance(thing, keras.Model if package is None else (keras.Model, package.Model))


def packed_as(structure: Any, tensors: list[Any]) -> Any:
    """Return tensors in the structure of a model's inputs."""
    nest = keras.tree if isinstance(structure, keras.KerasTensor) else tf.nest
    return nest.pack_sequence_as(structure, tensors)


def kind_of_input(tensor: Any) -> str:
    """Return dense, text, ragged or sparse, for a model's symbolic input."""
    if keras.backend.standardize_dtype(tensor.dtype) == "string":
        return "text"
    spec = type(getattr(tensor, "type_spec", None)).__name__
    for kind in ("ragged", "sparse"):
        if getattr(tensor, kind, False) or spec.lower().startswith(kind):
            return kind
    return "dense"


def dtype_policy_of(layer: Any) -> Any:
    """Return the policy object that a layer holds."""
    return layer._dtype_policy


def set_dtype_policy(layer: Any, policy: Any) -> None:
    """Replace the policy object of a layer, also of one that is built."""
    layer._dtype_policy = policy


def takes_training(layer: Any) -> bool:
    """Return whether the `call` of a layer, or of a cell that may be no layer, takes `training`."""
    if is_keras2(layer):
        return bool(layer._expects_training_arg)
    return isinstance(layer, keras.layers.Layer) and bool(layer._call_has_training_arg)


def takes_mask(layer: Any) -> bool:
    """Return whether a layer's `call` takes `mask`."""
    return bool(layer._expects_mask_arg if is_keras2(layer) else layer._call_has_mask_arg)


def functional_of(model: Any) -> Any | None:
    """Return the graph of layers of a Functional or Sequential model, None if it has none."""
    if is_keras2(model):
        return model if model._is_graph_network and model.built and model.inputs else None
    if isinstance(model, keras.Sequential):
        model = model._functional
    return model if isinstance(model, Functional) else None


def nodes_in_order(functional: Any) -> list[Any]:
    """Return the calls in a functional model's graph, each after those it depends on."""
    by_depth = functional._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def remembered_batch(model: Any) -> int | None:
    """Return the batch of a Sequential model's first call, which it keeps as its input's batch.

    None for any other model, and if a stateful layer needs that batch.
    """
    package = loaded()
    kinds = (keras.Sequential,) if package is None else (keras.Sequential, package.Sequential)
    functional = functional_of(model) if isinstance(model, kinds) else None
    if functional is None or any(getattr(x, "stateful", False) for x in layers_in(model)):
        return None
    batch = functional.inputs[0].shape[0]
    return None if batch is None else int(batch)


@dataclass(frozen=True)
class GraphCall:
    """One call of a layer in a functional model's graph, with its symbolic tensors.

    run: call the layer on other tensors than `inputs`.
    """

    layer: Any
    inputs: list[Any]
    outputs: list[Any]
    run: Callable[[list[Any]], Any]


def calls_of_layers(functional: Any) -> list[GraphCall]:
    """Return the calls in a functional model's graph, without those of its inputs."""
    nodes = [node for node in nodes_in_order(functional) if not node.is_input]
    if is_keras2(functional):
        run = _run_node_of_keras2
        return [
            GraphCall(n.layer, list(n.keras_inputs), tf.nest.flatten(n.outputs), partial(run, n))
            for n in nodes
        ]
    return [
        GraphCall(n.operation, list(n.input_tensors), list(n.outputs), partial(_run_node, n))
        for n in nodes
    ]


def inputs_behind(functional: Any, tensors: list[Any]) -> set[int]:
    """Return the ids of all symbolic tensors that some tensors depend on, and their own ids."""
    needed = {id(tensor) for tensor in tensors}
    for call in reversed(calls_of_layers(functional)):
        if needed & {id(tensor) for tensor in call.outputs}:
            needed |= {id(tensor) for tensor in call.inputs}
    return needed


def _run_node(node: Any, tensors: list[Any]) -> Any:
    given = {id(old): new for old, new in zip(node.input_tensors, tensors, strict=True)}
    args, options = node.arguments.fill_in(given)
    return node.operation(*args, **options)


def _run_node_of_keras2(node: Any, tensors: list[Any]) -> Any:
    given = {id(old): new for old, new in zip(node.keras_inputs, tensors, strict=True)}
    args, options = tf.nest.map_structure(
        lambda value: given.get(id(value), value), (node.call_args, node.call_kwargs)
    )
    return node.layer(*args, **options)


def input_structure(functional: Any) -> Any:
    """Return a functional model's inputs, in the structure that it is called with."""
    return functional._nested_inputs if is_keras2(functional) else functional._inputs_struct


def output_structure(functional: Any) -> Any:
    """Return a functional model's outputs, in the structure that it returns."""
    if is_keras2(functional):
        return functional._nested_outputs
    return functional._outputs_struct


def layer_that_made(tensor: Any) -> Any:
    """Return the layer or operation that computed a symbolic Keras tensor."""
    history = tensor._keras_history
    return history.operation if isinstance(tensor, keras.KerasTensor) else history.layer


def dtypes_of_first_call(model: Any) -> list[str]:
    """Return the dtypes of the symbolic tensors of a model's first call; empty after arrays."""
    nodes = getattr(model, "_inbound_nodes", None) or []
    tensors = getattr(nodes[0], "input_tensors", []) if nodes else []
    return [str(keras.backend.standardize_dtype(tensor.dtype)) for tensor in tensors]


def build_shapes(model: Any) -> dict[str, Any]:
    """Return the shapes with which a model was built, by argument; empty if it was never built."""
    return getattr(model, "_build_shapes_dict", None) or {}


@contextmanager
def accepting_any_shape(models: list[Any]) -> Iterator[None]:
    """While open, `models` accept inputs of any shape, not only of the declared ones."""
    # Keras 2 compares inputs with this specification if there is one.
    names = [
        "_manual_input_spec" if is_keras2(model) else "_assert_input_compatibility"
        for model in models
    ]
    before = [vars(model).get(name, _ABSENT) for model, name in zip(models, names, strict=True)]
    try:
        for model, name in zip(models, names, strict=True):
            accepting = None if is_keras2(model) else lambda *_: None
            object.__setattr__(model, name, accepting)
        yield
    finally:
        for model, name, value in zip(models, names, before, strict=True):
            if value is _ABSENT:
                object.__delattr__(model, name)
            else:
                object.__setattr__(model, name, value)
