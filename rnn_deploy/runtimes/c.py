"""The C sources of a bundle, compiled here and called through ctypes (`c`).

The library has one function for all models (model_shared.c), which takes arrays of pointers. For a
stream these are made once: a step copies the input to its place and calls a cached address.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import (
    RunOptions,
    Shapes,
    artifact_for,
    not_loaded,
    refuse_if_unavailable,
    refuse_provider_options,
    refuse_session_settings,
)
from rnn_deploy.runtimes.compiler import built_library, compiler, why_no_compiler
from rnn_deploy.runtimes.feeds import check_vocabulary, checker, closed
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

ABI = 1
FILES = ("model.h", "model.c", "model_weights.c", "model_shared.c")


class _Call(ctypes.Structure):
    """model_call in model_shared.c."""

    _fields_ = (
        ("rows", ctypes.c_size_t),
        ("steps", ctypes.c_void_p),
        ("inputs", ctypes.c_void_p),
        ("states", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("next_states", ctypes.c_void_p),
        ("work", ctypes.c_void_p),
    )


class CLibrary:
    """A loaded library. call: takes the address of a `_Call`, returns an error or 0."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        found = library.model_abi()
        if found != ABI:
            raise OSError(f"it has the interface {found}, this rnn-deploy calls {ABI}")
        self.call: Callable[[Any], int] = library.model_call_rows
        self.time_of: Callable[[int], int] = library.model_time_of
        self.work_floats: Any = library.model_work_floats
        self.work_floats.restype = ctypes.c_size_t

    def steps_of(self, shapes: Sequence[tuple[int, ...]]) -> list[int]:
        """Return the lengths that the library wants, from the shapes of the inputs in order."""
        found: dict[int, int] = {}
        for index, shape in enumerate(shapes):
            time = self.time_of(index)
            if time >= 0:
                found[time] = shape[1]
        return [found[time] for time in sorted(found)]


class CCall:
    """One call on arrays that stay at their addresses: inputs, states, outputs, next states."""

    def __init__(
        self,
        library: CLibrary,
        inputs: Sequence[Array],
        states: Sequence[Array],
        outputs: Sequence[Array],
        next_states: Sequence[Array],
    ) -> None:
        lengths = library.steps_of([array.shape for array in inputs])
        steps = (ctypes.c_size_t * max(1, len(lengths)))(*lengths)
        work = np.empty(max(1, library.work_floats(steps)), np.float32)
        places = [_pointers(arrays) for arrays in (inputs, states, outputs, next_states)]
        addresses = [ctypes.addressof(p) if len(p) else None for p in places]
        call = _Call(len(inputs[0]), ctypes.addressof(steps), *addresses, work.ctypes.data)
        self._held = (steps, work, places, call, inputs, states, outputs, next_states)
        self._call, self._address = library.call, ctypes.byref(call)

    def __call__(self) -> int:
        return self._call(self._address)


def _pointers(arrays: Sequence[Array]) -> Any:
    addresses = [array.ctypes.data for array in arrays]
    return (ctypes.c_void_p * len(addresses))(*addresses)


class CRunner:
    """An entry point in a compiled library; it runs each row of a batch alone."""

    def __init__(self, entry: EntryPoint, library: CLibrary) -> None:
        self.entry = entry
        self._library = library
        self._check = checker(entry)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        arrays = [np.ascontiguousarray(array) for array in self._check(feeds)]
        count = len(self.entry.inputs)
        sizes = _sizes(self.entry.all_inputs, [array.shape for array in arrays])
        results = [_empty(tensor, sizes) for tensor in self.entry.all_outputs]
        split = len(self.entry.outputs)
        error = CCall(
            self._library, arrays[:count], arrays[count:], results[:split], results[split:]
        )()
        if error:
            raise _refused(self.entry, arrays, error)
        names = (tensor.name for tensor in self.entry.all_outputs)
        return dict(zip(names, results, strict=True))

    def bound(self, shapes: Shapes) -> "CBound":
        """Return steps with their own memory, for one set of shapes."""
        return CBound(self.entry, self._library, shapes)

    def close(self) -> None:
        """Forget the library, which stays loaded until the process ends."""
        self._check = closed


class CBound:
    """Steps of one set of shapes; each state has two places, and every step swaps them."""

    def __init__(self, entry: EntryPoint, library: CLibrary, shapes: Shapes) -> None:
        def memory(tensors: Sequence[TensorSpec]) -> list[Array]:
            return [np.zeros(shapes[tensor.name], tensor.dtype) for tensor in tensors]

        self._entry = entry
        self._inputs, self._outputs = memory(entry.inputs), memory(entry.outputs)
        states = [state.tensor for state in entry.states]
        self._states = (memory(states), memory(states))
        self._calls = tuple(
            CCall(library, self._inputs, self._states[i], self._outputs, self._states[1 - i])
            for i in range(2)
        )
        self._fits = [(place.shape, place.dtype) for place in self._inputs]
        self._now = 0

    @property
    def states(self) -> dict[str, Array]:
        """Return a copy of the states by input name."""
        held = self._states[self._now]
        return {s.tensor.name: v.copy() for s, v in zip(self._entry.states, held, strict=True)}

    @states.setter
    def states(self, states: Mapping[str, Array]) -> None:
        for state, place in zip(self._entry.states, self._states[self._now], strict=True):
            place[...] = states[state.tensor.name]

    def takes(self, arrays: Sequence[object]) -> bool:
        """Return whether plain arrays, in the order of the inputs, have the bound types."""
        for array, (shape, dtype) in zip(arrays, self._fits, strict=True):
            if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
                return False
        return True

    def step(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs in order; after an InputError the states are as before."""
        for place, array in zip(self._inputs, arrays, strict=True):
            place[...] = array
        error = self._calls[self._now]()
        if error:
            raise _refused(self._entry, arrays, error)
        self._now = 1 - self._now
        return [place.copy() for place in self._outputs]


def _sizes(tensors: Sequence[TensorSpec], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    pairs = zip(tensors, shapes, strict=True)
    return {
        d: n for t, shape in pairs for d, n in zip(t.shape, shape, strict=True) if type(d) is str
    }


def _empty(tensor: TensorSpec, sizes: Mapping[str, int]) -> Array:
    shape = [dim if isinstance(dim, int) else sizes[dim] for dim in tensor.shape]
    return np.empty(shape, tensor.dtype)


def _refused(entry: EntryPoint, arrays: Sequence[Array], error: int) -> InputError:
    """Return the error for a call that the library refused; raise it for a wrong token id."""
    names = [tensor.name for tensor in entry.inputs]
    check_vocabulary(entry, dict(zip(names, arrays, strict=False)))
    return InputError("E-INPUT-REFUSED", f"the compiled model refused the inputs: error {error}")


@dataclass(frozen=True)
class CRuntime:
    """C sources, compiled by the local compiler for this machine."""

    name: str = "c"
    format: str = "c"

    def version(self) -> str | None:
        """Return the compiler's version, None without a compiler."""
        found = compiler()
        return None if found is None else found.version

    def why_unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, None if it can."""
        return why_no_compiler()

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """Return the file that runs every call."""
        return artifact_for(bundle, self.format, options).path

    def load(self, bundle: Bundle, options: RunOptions) -> CRunner:
        """Compile an entry point and load it; raise RuntimeUnavailableError if that fails."""
        refuse_if_unavailable(self)
        refuse_provider_options(self.name, options)
        refuse_session_settings(self.name, options)
        if options.threads not in (None, 1):
            raise InputError(
                "E-OPTION-THREADS",
                f"c computes in one thread, got {options.threads}; remove --threads",
            )
        entry = bundle.manifest.entry(options.entry)
        folder = PurePosixPath(artifact_for(bundle, self.format, options).path).parent
        sources = {name: bundle.read(str(folder / name)) for name in FILES}
        path = built_library(sources)
        try:
            return CRunner(entry, CLibrary(str(path)))
        except (OSError, AttributeError) as error:
            raise not_loaded(self, path, error) from error
