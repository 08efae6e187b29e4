"""A layer for TFLite as a loop that writes its outputs in place.

The loop carries the outputs of the whole sequence and writes some rows of them at every turn. In
the converter's file TFLite copies all of them twice at every turn; `flatbuffer.alias` renames the
tensors so that it copies nothing.

One or two loops run over a sequence, one after the other:

    singles, chunks    for small weights: first a step a turn, for the steps that do not fill a
                       chunk; then a few steps a turn, written out
    products, rows     for large weights, a step a turn: first over inputs' products that were made
                       ahead (all of few sequences, the first of many); then one at each turn

Batch is first throughout, so nothing is transposed. A backwards layer reads its rows from the end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.keras.compat import xla_dynamic_update_slice
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.spec import Recurrence, RecurrentLayer, Support
from rnn_deploy.tflite.loop import zero_of
from rnn_deploy.tflite.step import States, StepInputs, StepWalk, project, stacked, steps_to_a_turn

# Steps to a turn, with the largest bytes of recurrent weights for it: XNNPACK packs a copy of the
# weights for every step that is written out. Measured, see docs/internals/tflite.md.
CHUNKS = ((8, 1 << 16), (4, 1 << 17))
UNKNOWN = 1 << 17  # bytes, for a cell of which only the step is known
# The largest number of sequences whose products are all made ahead. For more, reading the weights
# at every step is cheaper than storing all products.
FEW = 8


def support(layer: Recurrence) -> Support:
    """Return that this lowering supports the layer: every layer can be such a loop."""
    length = "batch and time open" if layer.steps is None else f"{layer.steps} steps"
    k = chunk_of(layer)
    turn = f"{k} step{'s' if k > 1 else ''} to a turn of a WHILE"
    return Support(True, f"{length}, {turn}, outputs written in place")


def lower(
    layer: Recurrence, x: Any, states: Sequence[Any] | None, mask: Any | None
) -> tuple[Any, States]:
    """Lower like `loop.lower`."""
    length = tf.shape(x)[1] if x.shape[1] is None else x.shape[1]
    loop, parts = _InplaceLoop(StepWalk(layer), mask, length), list(_parts(layer, x, length))
    place = _InplaceOutputs(_room(layer, x, length, parts), loop.walk.start(tf.shape(x)[0], states))
    for part in parts:
        place = loop.over(part, place)
    output = loop.walk.last(place.carried) if place.outputs is None else place.outputs
    return output, loop.walk.finals(place.carried)


def chunk_of(layer: Recurrence) -> int:
    """Return the steps of a turn; for a fixed length, so that few steps are left over."""
    return steps_to_a_turn(layer, CHUNKS, UNKNOWN, lambda steps, k: steps % k)


@dataclass(frozen=True)
class _InplaceSteps:
    """The steps from `start` to `end`, `k` to a turn.

    inputs (batch, time, ...): the layer's, or their products if `made`; in the order of the steps
    if `sorted`. within: they are in the memory of the outputs.
    """

    start: Any
    end: Any
    k: int
    inputs: Any
    made: bool = True
    sorted: bool = False
    within: bool = False


@dataclass(frozen=True)
class _InplaceOutputs:
    """The outputs so far, if they are kept, and the carried values."""

    outputs: Any | None
    carried: States

    @property
    def flat(self) -> list[Any]:
        return [*([] if self.outputs is None else [self.outputs]), *self.carried]


@dataclass(frozen=True)
class _InplaceLoop:
    """Loops over parts of a layer's steps; mask (batch, time) or None."""

    walk: StepWalk
    mask: Any | None
    length: Any

    def over(self, part: _InplaceSteps, begin: _InplaceOutputs) -> _InplaceOutputs:
        """Return the outputs and carried values after the part's steps."""
        k, layer = part.k, self.walk.layer
        # Cut the written rows to the outputs, which may have fewer steps than a turn.
        cut = k > 1 and not isinstance(self.length, int)
        written = tf.range(tf.minimum(k, self.length)) if cut else None
        flat = [tf.convert_to_tensor(part.start), *begin.flat]
        shapes = [tensor.shape for tensor in flat]

        def turn(start: Any, *flat: Any) -> list[Any]:
            place = _split(layer, flat)
            steps = start + tf.range(k) if k > 1 else tf.reshape(start, [1])
            outputs, after = self.walk.over(self._rows(part, steps, place), k, place.carried)
            buffer = place.outputs
            if buffer is not None:
                new = stacked(outputs)
                new = new if written is None else tf.gather(new, written, axis=1)
                at = tf.stack([0, start, *[0] * (new.shape.rank - 2)])
                buffer = xla_dynamic_update_slice(buffer, new, at)
            end = [start + k, *_InplaceOutputs(buffer, after[-1]).flat]
            for tensor, shape in zip(end, shapes, strict=True):
                tensor.set_shape(shape)  # a traced step does not know a fixed batch
            return end

        _, *rest = tf.while_loop(lambda start, *_: start < part.end, turn, flat, shapes)
        return _split(layer, rest)

    def _rows(self, part: _InplaceSteps, steps: Any, place: _InplaceOutputs) -> StepInputs:
        layer = self.walk.layer
        ordered = self.length - 1 - steps if layer.go_backwards else steps
        inputs = place.outputs if part.within else part.inputs
        rows = tf.gather(inputs, steps if part.sorted else ordered, axis=1)
        mask = None if self.mask is None else tf.gather(self.mask, ordered, axis=1)
        return StepInputs(rows if part.made else project(layer, rows), mask)


def _parts(layer: Recurrence, x: Any, length: Any) -> Iterator[_InplaceSteps]:
    k, batch = chunk_of(layer), x.shape[0]
    if k > 1 or _in_products(layer) or batch == 1 or not _is_narrow(layer):
        inputs, within = project(layer, x), _in_products(layer)
        rest = 0 if k == 1 else length % k
        if not isinstance(rest, int) or rest > 0:
            yield _InplaceSteps(0, rest, 1, inputs, within=within)
        yield _InplaceSteps(rest, length, k, inputs, within=within)
        return
    first = 0
    if batch is None:
        first = tf.where(tf.shape(x)[0] <= FEW, length, 1)
        steps = tf.range(first)
        ahead = tf.gather(x, length - 1 - steps if layer.go_backwards else steps, axis=1)
        yield _InplaceSteps(0, first, 1, project(layer, ahead), sorted=True)
    yield _InplaceSteps(first, length, 1, x, made=False)


def _room(layer: Recurrence, x: Any, length: Any, parts: Sequence[_InplaceSteps]) -> Any | None:
    """Return the buffer for the outputs."""
    if not layer.return_sequences:
        return None
    if parts[-1].within:
        return parts[-1].inputs
    return tf.fill([tf.shape(x)[0], length, *layer.output_shape], zero_of(x))


def _split(layer: Recurrence, flat: Sequence[Any]) -> _InplaceOutputs:
    kept = layer.return_sequences
    return _InplaceOutputs(flat[0] if kept else None, list(flat[1:] if kept else flat))


def _is_narrow(layer: Recurrence) -> bool:
    """Return whether the inputs' weights are small compared with the recurrent ones."""
    return (
        isinstance(layer, RecurrentLayer)
        and 2 * layer.kernel.nbytes <= layer.recurrent_kernel.nbytes
    )


def _in_products(layer: Recurrence) -> bool:
    """Return whether an output fits in the place of its step's product, which it needs."""
    return (
        layer.cell == "simple_rnn"
        and isinstance(layer, RecurrentLayer)
        and layer.return_sequences
        and not layer.go_backwards
    )
