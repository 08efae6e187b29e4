"""A layer for TFLite as a loop: a WHILE over blocks, with a WHILE over chunks inside.

    blocks   one product for the inputs of all their steps, then an inner WHILE of chunks
    chunks   a few steps a turn, written out

At every turn TFLite copies the values that a WHILE carries, twice. So a turn takes several steps,
and a block collects its outputs in a small buffer before they are copied to the large one. The best
block size grows with the square root of the length, so it is computed at run time if the length is
open.

The first block is the short one. Its last chunk may exceed it. Then the states of its last step are
looked up, and the next block overwrites the outputs beyond it. If there is no next block, the last
row is repeated beyond the end, and its outputs are dropped.

Batch is first throughout, so nothing is transposed. A backwards layer reads its rows from the end.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.keras.compat import xla_dynamic_update_slice
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.spec import Recurrence, Support
from rnn_deploy.tflite.step import States, StepInputs, StepWalk, project, stacked, steps_to_a_turn

# Steps to a turn, with the largest bytes of recurrent weights for it: XNNPACK packs a copy of the
# weights for every step that is written out. Measured, see docs/internals/lowerings.md.
CHUNKS = ((10, 1 << 18), (5, 4 << 20), (2, 8 << 20))
LONGEST_CHUNK = CHUNKS[0][0]
UNKNOWN = 1 << 20  # bytes, for a cell of which only the step is known
# A turn of blocks costs as much as copying so many bytes twice.
TURN = 40_000


def support(layer: Recurrence) -> Support:
    """Return that this lowering supports the layer: every layer can be a loop."""
    length = "batch and time open" if layer.steps is None else f"{layer.steps} steps"
    return Support(True, f"{length}, {chunk_of(layer)} steps to a turn of a WHILE")


def lower(
    layer: Recurrence, x: Any, states: Sequence[Any] | None, mask: Any | None
) -> tuple[Any, States]:
    """Lower x (batch, time, *width), states (batch, *shape) or None, mask (batch, time).

    Returns the output and the final states.
    """
    loop = _BlockLoop(StepWalk(layer), chunk_of(layer))
    batch, length = tf.shape(x)[0], tf.shape(x)[1] if x.shape[1] is None else x.shape[1]
    count, size = _blocks(layer, length, loop.k)
    most = tf.minimum(size, length) if _open(length) else min(size, length)

    zero = zero_of(x)

    def room(steps: Any) -> Any | None:
        rows = [batch, steps, *layer.output_shape]
        return tf.fill(rows, zero) if layer.return_sequences else None

    # Made outside of the loop, in which no shape may depend on a value.
    small, ahead, written = room(size), tf.range(size), tf.range(most)

    def block(start: Any, place: _BlockOutputs) -> _BlockOutputs:
        """Compute `size` steps from step `start` on, without those before step 0."""
        begin, steps = (0, most) if isinstance(start, int) else _within(start, size)
        rows = _taken(layer, StepInputs(x, mask), begin + ahead, length)
        rows = StepInputs(project(layer, rows.projected), rows.mask)
        end = loop.over(rows, steps, _BlockOutputs(small, loop.begin(place.carried)))
        outputs = None if end.buffer is None else _first(end.buffer, written, most)
        return place.after(begin, outputs, loop.finals(end, steps))

    begin = _BlockOutputs(room(length), loop.walk.start(batch, states))
    end = _repeated(block, length - count * size, size, length, begin)
    output = loop.walk.last(end.carried) if end.buffer is None else end.buffer
    return output, loop.walk.finals(end.carried)


def chunk_of(layer: Recurrence) -> int:
    """Return the steps of a turn; for a fixed length, so that few steps are wasted."""
    return steps_to_a_turn(layer, CHUNKS, UNKNOWN, lambda steps, k: -steps % k)


@dataclass(frozen=True)
class _BlockOutputs:
    """The outputs so far, if they are kept, and the carried values."""

    buffer: Any | None
    carried: States

    def after(self, start: Any, outputs: Any | None, carried: States) -> "_BlockOutputs":
        """Return the outputs and carried values after the steps from `start` on."""
        if self.buffer is None or outputs is None:
            return _BlockOutputs(None, carried)
        if self.buffer.shape[1] == outputs.shape[1] is not None:
            return _BlockOutputs(outputs, carried)
        at = tf.stack([0, start, *[0] * (outputs.shape.rank - 2)])
        return _BlockOutputs(xla_dynamic_update_slice(self.buffer, outputs, at), carried)


@dataclass(frozen=True)
class _BlockLoop:
    """Chunks of `k` steps.

    The carried values exist for each step of a chunk, (batch, k, ...), since the last chunk may be
    short. If none is short, or the outputs contain them, they are (batch, ...).
    """

    walk: StepWalk
    k: int

    def begin(self, carried: States) -> States:
        """Return the values that are carried before the first chunk."""
        return [
            one if self._last_only(i) else stacked([one] * self.k) for i, one in enumerate(carried)
        ]

    def over(self, rows: StepInputs, count: Any, place: _BlockOutputs) -> _BlockOutputs:
        """Return the outputs and carried values after the first `count` of the rows."""

        def chunk(start: Any, place: _BlockOutputs) -> _BlockOutputs:
            before = [
                kept if self._last_only(i) else tf.gather(kept, self.k - 1, axis=1)
                for i, kept in enumerate(place.carried)
            ]
            here = _gathered(rows, start + tf.range(self.k))
            outputs, after = self.walk.over(here, self.k, before)
            kept = [
                each[-1] if self._last_only(i) else stacked(list(each))
                for i, each in enumerate(zip(*after, strict=True))
            ]
            return place.after(start, stacked(outputs), kept)

        return _repeated(chunk, 0, self.k, count, place)

    def finals(self, place: _BlockOutputs, length: Any) -> States:
        """Return the values that are carried after `length` steps."""
        at = (length - 1) % self.k
        carried = [
            kept if self._last_only(i) else tf.gather(kept, at, axis=1)
            for i, kept in enumerate(place.carried)
        ]
        if self._told_by_outputs:
            carried[0] = tf.gather(place.buffer, length - 1, axis=1)
        return carried

    def _last_only(self, i: int) -> bool:
        steps = self.walk.layer.steps
        return (steps is not None and not steps % self.k) or (i == 0 and self._told_by_outputs)

    @property
    def _told_by_outputs(self) -> bool:
        """Return whether the first state is every step's output."""
        layer = self.walk.layer
        return layer.return_sequences and layer.output_is_state and not layer.carries_output


def _repeated(
    turn: Callable[[Any, _BlockOutputs], _BlockOutputs],
    start: Any,
    size: Any,
    length: Any,
    begin: _BlockOutputs,
) -> _BlockOutputs:
    """Call `turn` at `start`, `start` + `size`, ... below `length`; it does not change shapes."""
    if not _open(start, size, length) and start + size >= length:
        return turn(0, begin)
    outputs = [] if begin.buffer is None else [begin.buffer]
    flat = [tf.convert_to_tensor(start), *outputs, *begin.carried]
    shapes = [tensor.shape for tensor in flat]

    def body(start: Any, *rest: Any) -> list[Any]:
        place = (
            _BlockOutputs(rest[0], list(rest[1:])) if outputs else _BlockOutputs(None, list(rest))
        )
        end = turn(start, place)
        after = [start + size, *([end.buffer] if outputs else []), *end.carried]
        for tensor, shape in zip(after, shapes, strict=True):
            tensor.set_shape(shape)  # a traced step does not know a fixed batch
        return after

    _, *rest = tf.while_loop(lambda start, *_: start < length, body, flat, shapes)
    return _BlockOutputs(rest[0], rest[1:]) if outputs else _BlockOutputs(None, rest)


def _open(*sizes: Any) -> bool:
    """Return whether one of the sizes is known only at run time."""
    return not all(isinstance(size, int) for size in sizes)


def _within(start: Any, size: Any) -> tuple[Any, Any]:
    """Return the start and the steps of a block, without those before step 0."""
    return tf.maximum(start, 0), tf.minimum(size, start + size)


def zero_of(x: Any) -> Any:
    """Return a zero that the converter cannot fold, or it would write buffers of fixed size."""
    if x.shape[0] is None:
        return tf.constant(0.0)
    first = tf.reshape(tf.slice(x, [0] * x.shape.rank, [1] * x.shape.rank), [])
    return tf.cast(first < first, tf.float32)


def _taken(layer: Recurrence, rows: StepInputs, steps: Any, length: Any) -> StepInputs:
    """Return the rows of these steps; beyond the end, the last row again."""
    steps = tf.minimum(steps, length - 1)
    return _gathered(rows, length - 1 - steps if layer.go_backwards else steps)


def _gathered(rows: StepInputs, steps: Any) -> StepInputs:
    tensors = (rows.projected, rows.mask)
    return StepInputs(*(None if t is None else tf.gather(t, steps, axis=1) for t in tensors))


def _blocks(layer: Recurrence, length: Any, k: int) -> tuple[Any, Any]:
    """Return the number of blocks and their steps, in whole chunks, that move the fewest bytes.

    For n steps, chunks of k in blocks of b move n/k * b rows, blocks n/b * (n + cost of a turn).
    """
    more = TURN / (4 * math.prod(layer.output_shape))
    chunks = (length + (k - 1)) // k
    if isinstance(length, int):
        most = math.ceil(math.sqrt((length + more) / k))
    else:
        most = tf.cast(tf.math.ceil(tf.sqrt((tf.cast(length, tf.float32) + more) / k)), tf.int32)
    count = (chunks + most - 1) // most
    return count, (chunks + count - 1) // count * k


def _first(buffer: Any, steps: Any, count: Any) -> Any:
    """Return the first `count` rows of a buffer; `steps` are all row numbers."""
    return buffer if buffer.shape[1] == count else tf.gather(buffer, steps, axis=1)
