"""Calls of one shape, one after the other: they run in memory that was bound once.

Handing arrays to ONNX Runtime and taking them back costs as much as a small model's arithmetic.
So once two calls of an entry point without states had the same shapes, the next of them are copied
into memory that the session already knows. What is given back is always a copy.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from rnn_deploy.runtimes.base import Bound
from rnn_deploy.spec import Array, EntryPoint

Shapes = dict[str, tuple[int, ...]]
# Of inputs and outputs together: above it the copies cost more than the handing over.
MOST_BYTES = 1 << 16


class Repeated:
    """The calls of one entry point that repeat a shape.

    bind: makes memory for the shapes of every input and output by name.
    """

    def __init__(self, entry: EntryPoint, bind: Callable[[Shapes], Bound | None]) -> None:
        self._inputs = [tensor.name for tensor in entry.inputs]
        self._outputs = [tensor.name for tensor in entry.outputs]
        self._bind = bind
        self._bound: Bound | None = None
        self._before: Shapes = {}
        self._memory = Lock()  # one call at a time may use it

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array] | None:
        """Every output by name; None for what is not like the calls before, or while one runs."""
        if self._bound is None or len(feeds) != len(self._inputs):
            return None
        if not self._memory.acquire(blocking=False):
            return None
        try:
            arrays = [feeds.get(name) for name in self._inputs]
            if not self._bound.takes(arrays):
                return None
            results = self._bound.step(arrays)  # type: ignore[arg-type]  # it takes arrays only
        finally:
            self._memory.release()
        return dict(zip(self._outputs, results, strict=True))

    def note(self, arrays: Sequence[Array], results: Sequence[Array]) -> None:
        """A call that did not run here: the next like it will, if the one before was like it."""
        named = zip([*self._inputs, *self._outputs], (*arrays, *results), strict=True)
        shapes = {name: array.shape for name, array in named}
        small = sum(array.nbytes for array in (*arrays, *results)) <= MOST_BYTES
        if small and shapes == self._before:
            with self._memory:
                self._bound = self._bind(shapes)
        self._before = shapes
