"""TFLite: trace with our own loops in place of Keras', convert, and name the signature.

Builtin operators only; a model that needs TensorFlow's own (Flex) is refused. The converter keeps
the order of inputs and outputs and loses their names, so signatures are written afterwards.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.formats.read_model import ExportPlan
from rnn_deploy.keras.access import layers_in
from rnn_deploy.keras.compat import ConverterError, convert_graphdef
from rnn_deploy.keras.intercept import Handler, LayerCall
from rnn_deploy.keras.own_loops import layer_at, own_loop
from rnn_deploy.keras.part import ModelPart
from rnn_deploy.keras.reading import precision_of, read
from rnn_deploy.keras.signature import call_flat, taking_any_length
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.keras.tracing import FrozenGraph, frozen, tensorflow_spec
from rnn_deploy.spec import EntryPoint, RecurrentLayer, StateKey, state_keys
from rnn_deploy.tflite.choice import TFLITE_LOWERINGS, choices_of
from rnn_deploy.tflite.flatbuffer.alias import write_in_place
from rnn_deploy.tflite.flatbuffer.fuse import fuse
from rnn_deploy.tflite.flatbuffer.merge import merged_models, unpacked
from rnn_deploy.tflite.format import FUSED, INPLACE, LOOP, SINGLE, TfliteLoweringRequest


@dataclass(frozen=True)
class TfliteEntry:
    """One entry point to convert, and the lowerings of its layers.

    undeclared: it has a number of steps that the model does not declare. part: the part of the
    model that is traced; None for the whole model.
    """

    entry: EntryPoint
    choices: tuple[LoweringChoice, ...]
    undeclared: bool = False
    part: ModelPart | None = None


def parts_of(
    plan: ExportPlan, request: TfliteLoweringRequest, *, plain: bool = False, loop: str = INPLACE
) -> tuple[TfliteEntry, ...]:
    """Return the entry points of a plan, and the stream at one step, which needs no loop.

    plain: the file goes to a quantiser or a microcontroller, which know fewer operators, and do
    without encode and decode. loop: the
    loop that `auto` takes.
    """
    parts = []
    for traced in plan.traced if plain else plan.all_traced:
        alone = not plain and traced.entry.inputs[0].shape[0] == 1
        layers, name = traced.trace.layers, traced.entry.name
        choices = choices_of(layers, request, name, alone=alone, loop=loop)
        parts.append(TfliteEntry(traced.entry, choices, traced.undeclared, traced.part))
    step = _step_of(plan)
    return tuple(parts) if step is None else (*parts, step)


def convert(model: Any, parts: Sequence[TfliteEntry]) -> bytes:
    """Return one TFLite file with a signature for each part, sharing their weights."""
    if precision_of(model) == "float64":
        raise UnsupportedModelError(
            "E-MODEL-FLOAT64",
            f"model '{model.name}': computes in float64, which TFLite's operators do not;"
            " try --to onnx",
        )
    return merged_models([(_convert_part(part.part or model, part), part.entry) for part in parts])


def _step_of(plan: ExportPlan) -> TfliteEntry | None:
    if plan.step is None:
        return None
    layers, name = plan.step.trace.layers, plan.step.entry.name
    choices = choices_of(layers, TfliteLoweringRequest(), name)
    return TfliteEntry(plan.step.entry, choices, plan.step.undeclared)


def _convert_part(model: Any, part: TfliteEntry) -> Any:
    """Return one entry point in object form.

    It stays in object form until the file is complete: reading and writing the file of a small
    model takes as long as the conversion.
    """
    entry = part.entry
    given: dict[StateKey, Any] = {}
    finals: dict[StateKey, Any] = {}
    fused: dict[str, RecurrentLayer] = {}

    def function(*tensors: Any) -> list[Any]:
        inputs, initial = tensors[: len(entry.inputs)], tensors[len(entry.inputs) :]
        given.update(zip((state.key for state in entry.states), initial, strict=True))
        outputs = call_flat(model, inputs)
        # The converter merges outputs that are the same tensor; an identity keeps them separate.
        return [tf.identity(t) for t in (*outputs, *(finals[s.key] for s in entry.states))]

    lowerings = {choice.layer: choice.lowering for choice in part.choices}
    handler = _lowered_by(lowerings, given, finals, fused)
    specs = [tensorflow_spec(tensor) for tensor in entry.all_inputs]
    with taking_any_length(model) if part.undeclared else nullcontext():
        graph = frozen(model, handler, function, specs)
    content = _converted(model, graph, allow_custom_ops=bool(fused))
    file = unpacked(content)
    if fused:
        fuse(file, fused)
    if {INPLACE, SINGLE} & set(lowerings.values()):
        write_in_place(file)
    return file


def _lowered_by(
    lowerings: Mapping[str, str],
    given: Mapping[StateKey, Any],
    finals: dict[StateKey, Any],
    fused: dict[str, RecurrentLayer],
) -> Handler:
    """Return the handler that replaces recurrent layers by their lowerings, from initial states.

    finals: filled with the final states. fused: filled with the layers that leave a marker.
    """

    def handler(call: LayerCall) -> tuple[Any, list[Any]]:
        stack = read(call)
        keys = state_keys(stack)
        own = [tf.cast(state, tf.float32) for state in call.initial_state or ()]
        initial = dict(zip(keys, own, strict=True)) if own else given
        mask = None if call.mask is None else tf.cast(call.mask, tf.bool)
        output, after = tf.cast(call.sequences, tf.float32), []
        for layer in stack:
            states = [initial[key] for key in state_keys((layer,)) if key in initial] or None
            chosen = lowerings.get(layer.name, LOOP)  # a layer without an effect may have any
            if chosen == FUSED and isinstance(layer, RecurrentLayer):
                fused[layer.name] = layer
            output, layer_after = TFLITE_LOWERINGS[chosen].lower(layer, output, states, mask)
            steps = [layer.steps] if layer.return_sequences else []
            output.set_shape([call.sequences.shape[0], *steps, *layer.output_shape])
            after += layer_after
            if mask is not None and layer.go_backwards:
                mask = tf.reverse(mask, [1])  # the next layer runs over the steps in this order
        finals.update(zip(keys, after, strict=True))
        return output, after

    return handler


def _converted(model: Any, graph: FrozenGraph, *, allow_custom_ops: bool) -> bytes:
    """Convert a frozen graph to TFLite with the converter that TFLiteConverter calls at the end.

    (It would freeze the graph again, and read and write the file for metadata that we drop.)
    """
    try:
        content = convert_graphdef(
            graph.graph,
            graph.inputs,
            graph.outputs,
            target_ops={tf.lite.OpsSet.TFLITE_BUILTINS},
            allow_custom_ops=allow_custom_ops,
        )
    except ConverterError as error:
        found = re.search(r'fused\["(TensorList\w*):", "([^"@]+)', str(error))
        if found is not None:
            names = {layer.name for layer in layers_in(model, include_self=False)}
            raise own_loop(layer_at(found[2], names), "TFLite") from error
        raise UnsupportedModelError(
            "E-MODEL-OPERATOR",
            f"model '{model.name}': {_reason(model, error)}; change the layer, or try --to onnx",
        ) from error
    return bytes(content)


def _reason(model: Any, error: ConverterError) -> str:
    """Return what the converter could not convert, and where, from its long messages."""
    message = str(error)
    found = re.search(r'fused\["(\w+):", "([^"@]+)', message)
    if found is None:
        return f"TFLite's builtin operators cannot express it ({one_line(error)})"
    operator, place = found.groups()
    names = {layer.name for layer in layers_in(model, include_self=False)}
    # For a separately traced cell, a later part of the message names its layer's loop.
    loop = re.search(r'at fused\["While:", "([^"]+)', message)
    parts = [re.sub(r"_\d+$", "", p) for p in f"{loop[1] if loop else ''}/{place}".split("/")]
    layer = next((part for part in parts if part in names), None)
    where = f"layer '{layer}'" if layer else f"at {place}"
    if "static" in message:
        return f"{where}: TFLite's form of {operator} needs static shapes, and batch is open"
    return f"{where}: TFLite has no builtin operator for {operator}"
