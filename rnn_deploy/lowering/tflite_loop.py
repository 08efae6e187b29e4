"""A layer for TFLite as a loop: one product for the inputs of all steps, then WHILEs of chunks.

TFLite copies all that a WHILE carries at every turn, so a turn takes several steps, and what is
carried is kept small. Where the whole sequence is returned, a long one goes through in blocks, each
with a small buffer of its own:

    blocks   BLOCK steps a turn, in an inner WHILE of chunks; only where there are so many
    chunks   a few steps a turn, written out
    rest     what is left: written out where the length is known, else a WHILE of single steps

Batch is first throughout, so nothing is transposed. A backwards layer reads its rows from the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from rnn_deploy.lowering.tflite_step import Rows, States, Walk, project
from rnn_deploy.source.tensorflow import tf
from rnn_deploy.spec import Recurrence, RecurrentLayer, Support

BLOCK = 128
# Steps to a turn, by the bytes of recurrent weights up to which: XNNPACK packs a copy of them for
# every step that is written out. Each divides BLOCK; measured, see docs/lowerings.md.
CHUNKS = ((8, 1 << 18), (4, 4 << 20), (2, 8 << 20))


def support(layer: Recurrence) -> Support:
    """Every layer can be a loop."""
    length = "batch and time open" if layer.steps is None else f"{layer.steps} steps"
    return Support(True, f"{length}, {chunk_of(layer)} steps to a turn of a WHILE")


def lower(
    layer: Recurrence, x: Any, states: Sequence[Any] | None, mask: Any | None
) -> tuple[Any, States]:
    """x (batch, time, *width), states (batch, *shape) each or None for zero, mask (batch, time).

    Returns the output and the final states.
    """
    walk = Walk(layer)
    length = tf.shape(x)[1] if x.shape[1] is None else x.shape[1]
    source = _Source(Rows(project(layer, x), mask), length, layer.go_backwards)
    begin = _Place(tf.constant(0), None, walk.start(tf.shape(x)[0], states))
    if not layer.return_sequences:
        end = _rest(walk, source, _chunks(walk, source, chunk_of(layer), begin))
        return walk.last(end.carried), walk.finals(end.carried)
    fill = _filled_open if x.shape[1] is None else _filled
    end = fill(walk, source, begin)
    return end.buffer, walk.finals(end.carried)


def chunk_of(layer: Recurrence) -> int:
    """How many steps a turn takes."""
    size = layer.recurrent_kernel.nbytes if isinstance(layer, RecurrentLayer) else 0
    fitting = (k for k, most in CHUNKS if size <= most and k <= (layer.steps or k))
    return next(fitting, 1)


@dataclass(frozen=True)
class _Source:
    """Rows to be read, last one first where `backwards`; their number is an int where known."""

    rows: Rows
    length: Any
    backwards: bool = False

    def take(self, start: Any, count: int, *, past_end: bool = False) -> Rows:
        """`count` rows from step `start` on; past the end, the last one again and again."""
        steps = start + tf.range(count)
        if past_end:
            steps = tf.minimum(steps, self.length - 1)
        if self.backwards:
            steps = self.length - 1 - steps
        tensors = (self.rows.projected, self.rows.mask)
        return Rows(*(None if t is None else tf.gather(t, steps, axis=1) for t in tensors))


@dataclass(frozen=True)
class _Place:
    """How far a layer is: the next step, the outputs so far or None, what is carried."""

    step: Any
    buffer: Any | None
    carried: States

    def after(self, count: Any, outputs: Any, carried: States) -> "_Place":
        """The place `count` steps on."""
        buffer = self.buffer
        if buffer is not None:
            at = tf.stack([0, self.step, *[0] * (buffer.shape.rank - 2)])
            buffer = gen_xla_ops.xla_dynamic_update_slice(buffer, outputs, at)
        return _Place(self.step + count, buffer, carried)

    @property
    def flat(self) -> list[Any]:
        return [self.step, *([] if self.buffer is None else [self.buffer]), *self.carried]

    def like(self, flat: Sequence[Any]) -> "_Place":
        """The place that `flat` lists."""
        step, *rest = flat
        return _Place(step, None, rest) if self.buffer is None else _Place(step, rest[0], rest[1:])


def _filled(walk: Walk, source: _Source, begin: _Place) -> _Place:
    """Every step's output, for a length that is known."""
    place = _Place(begin.step, _buffer(walk, begin, source.length), begin.carried)
    done = 0
    if source.length >= 2 * BLOCK:
        place, done = _blocks(walk, source, place), source.length // BLOCK * BLOCK
    k = chunk_of(walk.layer)
    if source.length - done >= k:
        place = _chunks(walk, source, k, place)
    return _rest(walk, source, place)


def _filled_open(walk: Walk, source: _Source, begin: _Place) -> _Place:
    """The same for any length: buffers have room for a piece more, which is cut off at the end."""
    n, k = source.length, chunk_of(walk.layer)

    def in_blocks() -> list[Any]:
        place = _Place(begin.step, _buffer(walk, begin, n + BLOCK), begin.carried)
        place = _blocks(walk, source, place)
        return _Place(place.step, _cut(place.buffer, n + k), place.carried).flat

    empty = _Place(begin.step, _buffer(walk, begin, n + k), begin.carried)
    place = empty.like(tf.cond(n >= BLOCK, in_blocks, lambda: empty.flat))
    place = _chunks(walk, source, k, place)
    if k > 1:  # the rest by single steps, in a small buffer
        rows = source.take(place.step, k - 1, past_end=True)
        small = _Place(tf.constant(0), _buffer(walk, begin, k - 1), place.carried)
        end = _chunks(walk, _Source(rows, n - place.step), 1, small)
        place = place.after(end.step, end.buffer, end.carried)
    return _Place(place.step, _cut(place.buffer, n), place.carried)


def _blocks(walk: Walk, source: _Source, place: _Place) -> _Place:
    """As many whole blocks as there are."""

    def block(place: _Place) -> _Place:
        small = _Place(tf.constant(0), _buffer(walk, place, BLOCK), place.carried)
        inner = _Source(source.take(place.step, BLOCK), BLOCK)
        end = _chunks(walk, inner, chunk_of(walk.layer), small)
        return place.after(BLOCK, end.buffer, end.carried)

    return _while(source, BLOCK, block, place)


def _chunks(walk: Walk, source: _Source, k: int, place: _Place) -> _Place:
    """As many whole chunks of `k` steps as there are."""

    def chunk(place: _Place) -> _Place:
        outputs, carried = walk.over(source.take(place.step, k), k, place.carried)
        return place.after(k, outputs, carried)

    return _while(source, k, chunk, place)


def _rest(walk: Walk, source: _Source, place: _Place) -> _Place:
    """Fewer steps than a chunk: written out where their number is known."""
    k = chunk_of(walk.layer)
    if not isinstance(source.length, int):
        return place if k == 1 else _chunks(walk, source, 1, place)
    left = source.length % k
    if not left:
        return place
    rows = source.take(source.length - left, left)
    return place.after(left, *walk.over(rows, left, place.carried))


def _while(source: _Source, count: int, turn: Any, place: _Place) -> _Place:
    """`turn`, which takes `count` steps, as long as so many are left; it keeps every shape."""
    shapes = [tensor.shape for tensor in place.flat]

    def body(*flat: Any) -> list[Any]:
        after = turn(place.like(flat)).flat
        for tensor, shape in zip(after, shapes, strict=True):
            tensor.set_shape(shape)  # a traced step does not know a batch that is fixed
        return after

    going = lambda step, *_: step + count <= source.length  # noqa: E731
    return place.like(tf.while_loop(going, body, place.flat, shapes))


def _buffer(walk: Walk, place: _Place, length: Any) -> Any:
    batch = tf.shape(place.carried[0])[0]
    return tf.zeros([batch, length, *walk.layer.output_shape])


def _cut(buffer: Any, length: Any) -> Any:
    return buffer[:, :length]
