"""A layer for TFLite as one loop, whose outputs are written where they stay.

    singles   a WHILE of one step a turn, over the steps that make no whole chunk
    chunks    a WHILE of a few steps a turn, written out, over all others

The loop carries the outputs of the whole sequence and writes some rows of them at every turn. As
the converter leaves it, TFLite copies all of them at every turn, twice; `exporting.tflite_inplace`
names the tensors in the file so that it copies none.

Batch is first throughout, so nothing is transposed. A backwards layer reads its rows from the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from rnn_deploy.lowering.tflite_loop import zero_of
from rnn_deploy.lowering.tflite_step import Rows, States, Walk, project, stacked
from rnn_deploy.source.tensorflow import tf
from rnn_deploy.spec import Recurrence, RecurrentLayer, Support

# Steps to a turn, by the bytes of recurrent weights up to which: XNNPACK packs a copy of them for
# every step that is written out. Measured, see docs/tflite.md.
CHUNKS = ((8, 1 << 16), (4, 1 << 17))
UNKNOWN = 1 << 17  # of a cell that is known by its step alone
# Up to so many bytes of recurrent weights a product costs less than to begin one.
SMALL = 1 << 16


def support(layer: Recurrence) -> Support:
    """Every layer can be such a loop."""
    length = "batch and time open" if layer.steps is None else f"{layer.steps} steps"
    k = chunk_of(layer)
    turn = f"{k} step{'s' if k > 1 else ''} to a turn of a WHILE"
    return Support(True, f"{length}, {turn}, outputs written in place")


def lower(
    layer: Recurrence, x: Any, states: Sequence[Any] | None, mask: Any | None
) -> tuple[Any, States]:
    """As `tflite_loop.lower`."""
    loop = _Loop(layer, Walk(layer), Rows(x, mask), _length(x))
    batch, k = tf.shape(x)[0], chunk_of(layer)
    place = _Place(loop.room(batch), loop.walk.start(batch, states))
    rest = 0 if k == 1 else loop.length % k
    if not isinstance(rest, int) or rest > 0:
        place = loop.over(0, rest, 1, place)
    place = loop.over(rest, loop.length, k, place)
    output = loop.walk.last(place.carried) if place.outputs is None else place.outputs
    return output, loop.walk.finals(place.carried)


def chunk_of(layer: Recurrence) -> int:
    """How many steps a turn takes; of a length that is known, so that few are left over."""
    size = layer.recurrent_kernel.nbytes if isinstance(layer, RecurrentLayer) else UNKNOWN
    most = next((k for k, fitting in CHUNKS if size <= fitting), 1)
    steps = layer.steps
    if steps is None or steps <= most:
        return steps or most
    return min(range(most, most // 2, -1), key=lambda k: steps % k)


@dataclass(frozen=True)
class _Place:
    """The outputs so far, if they are kept, and what is carried on."""

    outputs: Any | None
    carried: States

    @property
    def flat(self) -> list[Any]:
        return [*([] if self.outputs is None else [self.outputs]), *self.carried]


class _Loop:
    """A layer's loops over rows (batch, time, ...)."""

    def __init__(self, layer: Recurrence, walk: Walk, rows: Rows, length: Any) -> None:
        self.layer, self.walk, self.length = layer, walk, length
        self._ahead = _is_ahead(layer, rows.projected.shape[0])
        self.rows = Rows(project(layer, rows.projected), rows.mask) if self._ahead else rows
        # Where the inputs' products are as wide as outputs they make room for them.
        self._within = self._ahead and _in_products(layer)
        self._zero = zero_of(rows.projected)

    def room(self, batch: Any) -> Any | None:
        """Where the outputs go."""
        if not self.layer.return_sequences:
            return None
        if self._within:
            return self.rows.projected
        return tf.fill([batch, self.length, *self.layer.output_shape], self._zero)

    def over(self, start: Any, end: Any, k: int, begin: _Place) -> _Place:
        """The place after the steps from `start` to `end`, `k` to a turn."""
        open_ = k > 1 and not isinstance(self.length, int)
        written = tf.range(tf.minimum(k, self.length)) if open_ else None
        flat = [tf.convert_to_tensor(start), *begin.flat]
        shapes = [tensor.shape for tensor in flat]

        def turn(start: Any, *flat: Any) -> list[Any]:
            place = self._split(flat)
            rows = self._taken(place, start + tf.range(k) if k > 1 else tf.reshape(start, [1]))
            outputs, after = self.walk.over(rows, k, place.carried)
            buffer = place.outputs
            if buffer is not None:
                new = stacked(outputs)
                new = new if written is None else tf.gather(new, written, axis=1)
                at = tf.stack([0, start, *[0] * (new.shape.rank - 2)])
                buffer = gen_xla_ops.xla_dynamic_update_slice(buffer, new, at)
            end = [start + k, *_Place(buffer, after[-1]).flat]
            for tensor, shape in zip(end, shapes, strict=True):
                tensor.set_shape(shape)  # a traced step does not know a batch that is fixed
            return end

        _, *rest = tf.while_loop(lambda start, *_: start < end, turn, flat, shapes)
        return self._split(rest)

    def _split(self, flat: Sequence[Any]) -> _Place:
        kept = self.layer.return_sequences
        return _Place(flat[0] if kept else None, list(flat[1:] if kept else flat))

    def _taken(self, place: _Place, steps: Any) -> Rows:
        if self.layer.go_backwards:
            steps = self.length - 1 - steps
        projected = place.outputs if self._within else self.rows.projected
        rows, mask = (
            None if tensor is None else tf.gather(tensor, steps, axis=1)
            for tensor in (projected, self.rows.mask)
        )
        return Rows(rows if self._ahead else project(self.layer, rows), mask)


def _length(x: Any) -> Any:
    return tf.shape(x)[1] if x.shape[1] is None else x.shape[1]


def _is_ahead(layer: Recurrence, batch: int | None) -> bool:
    """Whether the inputs' products are made of all steps at once, which holds them all.

    Made step by step, the inputs' weights are read at every step. In batches that costs nothing.
    """
    if not isinstance(layer, RecurrentLayer):
        return False
    weights = layer.recurrent_kernel.nbytes
    few = weights > SMALL and 2 * layer.kernel.nbytes <= weights
    return batch == 1 or not few or _in_products(layer)


def _in_products(layer: Recurrence) -> bool:
    """Whether an output can stand where the product of its step's input stood, which it needs."""
    return (
        layer.cell == "simple_rnn"
        and isinstance(layer, RecurrentLayer)
        and layer.return_sequences
        and not layer.go_backwards
    )
