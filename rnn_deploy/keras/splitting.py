"""Split a model into an encoder and a decoder: find the tensors between them.

    model --find_split--> Split   (or WhyWhole: the reason why it stays whole)

A recurrent layer starts the decoder if the model computes its initial state from other inputs than
its sequence. The inputs of that sequence alone are the **target**. Everything that depends on the
target belongs to the decoder. The **memory** is everything that the decoder reads and that does not
depend on the target: outputs of layers, their masks, and source inputs. The split is found in the
traced graph, where masks and nested models are ordinary tensors.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rnn_deploy.keras.access import is_a, is_model
from rnn_deploy.keras.intercept import unused
from rnn_deploy.keras.layer_calls import CallPlace, CallWatcher, mask_of, watching_calls
from rnn_deploy.keras.part import ModelPart
from rnn_deploy.keras.signature import Signature, call_flat
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.keras.traced_calls import TracedCalls, WhyWhole
from rnn_deploy.keras.tracing import traced_markers
from rnn_deploy.spec import BidirectionalLayers, Called, StateKey, layers_of, state_keys


@dataclass(frozen=True)
class MemoryTensor:
    """A tensor that the decoder reads from the encoder's side.

    places: the calls of layers that compute it; for a mask, all calls whose outputs have it.
    output: the index of the call's output, in flat order; None for the mask. Without places the
    tensor is the source input `name`.
    """

    name: str
    places: tuple[CallPlace, ...] = ()
    output: int | None = None


@dataclass(frozen=True)
class Split:
    """The place at which a model is cut.

    sources, targets: the names of the inputs of each side. initial: the calls of recurrent layers
    whose initial states the encoder computes, with these states. memory: the tensors that the
    decoder reads. encoder_outputs, decoder_outputs: the indices of each side's outputs.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    initial: Mapping[CallPlace, tuple[StateKey, ...]]
    memory: tuple[MemoryTensor, ...]
    encoder_outputs: tuple[int, ...]
    decoder_outputs: tuple[int, ...]


def find_split(model: Any, signature: Signature) -> Split | WhyWhole:
    """Return the cut between encoder and decoder, or why the model stays whole."""
    calls: list[Called] = []
    seen = _SeenCalls(calls)
    traced = traced_markers(_Watched(model, seen), signature, calls)
    graph = TracedCalls(traced, signature, calls)
    targets = graph.targets()
    if isinstance(targets, WhyWhole):
        return targets
    decoder = graph.behind(targets)
    outputs = list(enumerate(traced.outputs))
    decoder_outputs = tuple(i for i, t in outputs if t.op.name in decoder)
    others = tuple(i for i, t in outputs if t.op.name not in decoder)
    initial: dict[CallPlace, tuple[StateKey, ...]] = {}
    for index, op in graph.markers.items():
        if op.name not in decoder:
            continue
        why = _why_not_stepped(calls[index])
        if why:
            return WhyWhole(why)
        states = graph.initial_states(index)
        dependent = [t for t in states if graph.values[t.op.name] & set(targets)]
        if dependent:
            name = layers_of(calls[index])[0].name
            return WhyWhole(f"the initial state of layer '{name}' depends on the target")
        if states and seen.recurrent[index] not in seen.started:
            name = layers_of(calls[index])[0].name
            return WhyWhole(f"layer '{name}' itself chooses the state that it starts from")
        if states:
            initial[seen.recurrent[index]] = tuple(state_keys(layers_of(calls[index])))
    read = graph.read_by(decoder, [traced.outputs[i] for i in decoder_outputs])
    memory = _memory(read, seen, graph, {*signature.output_names, *signature.inputs})
    return Split(
        _needed(graph, initial, seen, memory, [traced.outputs[i] for i in others]),
        targets,
        initial,
        memory,
        others,
        decoder_outputs,
    )


def _why_not_stepped(called: Called) -> str:
    """Return why a layer of the decoder cannot run step by step, empty if it can."""
    if isinstance(called, BidirectionalLayers):
        return f"layer '{called.name}' reads the target in both directions"
    first = layers_of(called)[0]
    if first.go_backwards:
        return f"layer '{first.name}' reads the target backwards"
    return ""


class _Watched(ModelPart):
    """The whole model; a watcher sees the calls of its layers."""

    def __init__(self, model: Any, watcher: CallWatcher) -> None:
        super().__init__(model)
        self.watcher = watcher

    def call_flat(self, tensors: Sequence[Any]) -> list[Any]:
        with watching_calls(self.watcher):
            return call_flat(self.model, tensors)


@dataclass
class _SeenCalls(CallWatcher):
    """Records which layer call makes each tensor and mask, and which calls are recurrent.

    calls: filled while the model is traced. made: place and output of the innermost layer, by the
    tensor's name. masks: the places whose outputs have a mask, by the mask's name. recurrent: the
    places by the index of the marker. started: the places with an initial state. plain: the paths
    of layers that are not models.
    """

    calls: list[Called]
    made: dict[str, tuple[CallPlace, int]] = field(default_factory=dict)
    masks: dict[str, list[CallPlace]] = field(default_factory=dict)
    recurrent: dict[int, CallPlace] = field(default_factory=dict)
    started: set[CallPlace] = field(default_factory=set)
    plain: set[tuple[str, ...]] = field(default_factory=set)

    def before(self, place: CallPlace, layer: Any) -> None:
        if not is_model(layer):
            self.plain.add(place.path)
        if is_a(layer, "RNN", "Bidirectional"):
            self.recurrent[len(self.calls)] = place

    def starting(self, place: CallPlace, initial_state: Any) -> Any:
        self.started.add(place)
        return initial_state

    def after(self, place: CallPlace, layer: Any, result: Any) -> Any:
        for index, tensor in enumerate(keras.tree.flatten(result)):
            if not hasattr(tensor, "op"):
                continue
            self.made.setdefault(tensor.name, (place, index))
            mask = mask_of(tensor)
            if mask is not None:
                self.masks.setdefault(mask.name, []).append(place)
        return result

    def name_of(self, place: CallPlace) -> str:
        """Return a layer's name, prefixed with the name of the layer that contains it."""
        around = place.path[:-1]
        return f"{around[-1]}_{place.layer}" if around in self.plain else place.layer


def _memory(
    read: Sequence[Any], seen: _SeenCalls, graph: TracedCalls, taken: Collection[Any]
) -> tuple[MemoryTensor, ...]:
    """Return the layer outputs, masks and inputs from which the given tensors are computed."""
    used = {getattr(name, "name", name) for name in taken}
    memory: dict[str, MemoryTensor] = {}
    waiting, done = list(reversed(read)), set()
    while waiting:
        tensor = waiting.pop()
        if tensor.name in done or not graph.everything[tensor.op.name]:
            continue
        done.add(tensor.name)
        if tensor.op.name in graph.inputs:
            name = graph.inputs[tensor.op.name]
            memory[tensor.name] = MemoryTensor(name)
        elif tensor.name in seen.masks:
            places = tuple(seen.masks[tensor.name])
            name = unused(f"{seen.name_of(places[-1])}_mask", used)
            memory[tensor.name] = MemoryTensor(name, places)
        elif tensor.name in seen.made:
            place, output = seen.made[tensor.name]
            name = seen.name_of(place) + (f"_{output}" if output else "")
            name = unused(name, used)
            memory[tensor.name] = MemoryTensor(name, (place,), output)
        else:
            waiting += tensor.op.inputs
            continue
        used.add(name)
    return tuple(sorted(memory.values(), key=lambda part: part.output is None))


def _needed(
    graph: TracedCalls,
    initial: Mapping[CallPlace, object],
    seen: _SeenCalls,
    memory: Sequence[MemoryTensor],
    outputs: Sequence[Any],
) -> tuple[str, ...]:
    """Return the inputs that the encoder needs for states, memory and outputs."""
    states = [
        tensor
        for index, place in seen.recurrent.items()
        if place in initial
        for tensor in graph.initial_states(index)
    ]
    made = {where: name for name, where in seen.made.items()}
    masks = {tuple(places): name for name, places in seen.masks.items()}
    names = [tensor.op.name for tensor in (*states, *outputs)]
    for part in memory:
        if part.places:
            tensor = (
                masks[part.places] if part.output is None else made[part.places[0], part.output]
            )
            names.append(tensor.partition(":")[0])
    found = set().union(*(graph.everything[name] for name in names))
    return tuple(name for name in graph.names if name in found)
