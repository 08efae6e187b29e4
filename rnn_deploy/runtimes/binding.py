"""Bind an ONNX Runtime session to its own memory, where a stream's states stay.

    x --copied--> input memory --+                +--> output memory --copied--> y
                                 +--> session run +
              state memory A ----+                +--> state memory B     and the next step B, A

For one set of shapes everything is allocated and bound once. Each state has two places, and every
step reads from one and writes to the other, so no state is ever copied or allocated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_deploy.runtimes.feeds import check_vocabulary, refused_by
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

Shapes = Mapping[str, tuple[int, ...]]


class OrtBound:
    """Steps of one set of shapes; this object has the states, (batch, units) each.

    shapes: of every input, output and state input by name.
    """

    def __init__(self, session: Any, entry: EntryPoint, shapes: Shapes) -> None:
        def memory(tensor: TensorSpec, shape: tuple[int, ...]) -> Array:
            return np.zeros(shape, tensor.dtype)

        self._entry, self._run = entry, session.run_with_iobinding
        self._inputs = [memory(tensor, shapes[tensor.name]) for tensor in entry.inputs]
        self._outputs = [memory(tensor, shapes[tensor.name]) for tensor in entry.outputs]
        self._states = tuple(
            [memory(state.tensor, shapes[state.tensor.name]) for state in entry.states]
            for _ in range(2)
        )
        self._fits = [(place.shape, place.dtype) for place in self._inputs]
        self._tokens = any(tensor.below is not None for tensor in entry.inputs)
        self._bindings = [self._binding(session, now, 1 - now) for now in range(2)]
        self._now = 0

    @property
    def states(self) -> dict[str, Array]:
        """Return a copy of the states by input name."""
        now = self._states[self._now]
        return {s.tensor.name: v.copy() for s, v in zip(self._entry.states, now, strict=True)}

    @states.setter
    def states(self, states: Mapping[str, Array]) -> None:
        for state, place in zip(self._entry.states, self._states[self._now], strict=True):
            place[...] = states[state.tensor.name]

    def takes(self, arrays: Sequence[object]) -> bool:
        """Return whether plain arrays, in the order of the inputs, have the bound shapes."""
        for array, (shape, dtype) in zip(arrays, self._fits, strict=True):
            if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
                return False
        return True

    def step(self, arrays: Sequence[Array]) -> list[Array]:
        """Run arrays that it takes, keep the new states, return the outputs in order.

        Raises InputError for token ids outside the vocabulary, and if ONNX Runtime refuses the
        inputs. The states are then as before.
        """
        if self._tokens:
            names = (tensor.name for tensor in self._entry.inputs)
            check_vocabulary(self._entry, dict(zip(names, arrays, strict=True)))
        for place, array in zip(self._inputs, arrays, strict=True):
            place[...] = array
        try:
            self._run(self._bindings[self._now])
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise refused_by("ONNX Runtime", error) from error
        self._now = 1 - self._now
        return [place.copy() for place in self._outputs]

    def _binding(self, session: Any, before: int, after: int) -> Any:
        binding, entry = session.io_binding(), self._entry
        read = [*self._inputs, *self._states[before]]
        written = [*self._outputs, *self._states[after]]
        for bind, tensors, places in (
            (binding.bind_input, entry.all_inputs, read),
            (binding.bind_output, entry.all_outputs, written),
        ):
            for tensor, place in zip(tensors, places, strict=True):
                bind(tensor.name, "cpu", 0, place.dtype.type, place.shape, place.ctypes.data)
        return binding
