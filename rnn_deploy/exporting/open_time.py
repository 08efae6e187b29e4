"""Open a number of steps that the model fixes: the symbols, and the outputs that depend on it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnn_deploy.keras.lengths import has_open_length
from rnn_deploy.keras.signature import TIME
from rnn_deploy.keras.tracing import Trace
from rnn_deploy.spec import Dim, EntryPoint, TensorSpec


def symbols_for_fixed(inputs: Sequence[TensorSpec]) -> dict[str, str]:
    """Return a symbol for each input whose number of steps is fixed, to open it in the stream.

    Equal lengths become one symbol. If another input has an open length, a fixed one is not a
    sequence to cut but a context that stays whole.
    """
    fixed = [tensor for tensor in inputs if has_fixed_time(tensor)]
    if any(map(has_open_length, inputs)):
        return {}
    alone = len({tensor.shape[1] for tensor in fixed}) == 1
    return {tensor.name: TIME if alone else f"{tensor.name}_{TIME}" for tensor in fixed}


def opened_outputs(
    sequence: EntryPoint, trace: Trace, symbols: Mapping[str, str]
) -> tuple[TensorSpec, ...]:
    """Return the outputs with time open: an axis that was as long as an input has its symbol."""
    outputs = sequence.outputs
    following: dict[Dim, set[str]] = {}
    for tensor in sequence.inputs:
        if tensor.name in symbols:
            following.setdefault(tensor.shape[1], set()).add(symbols[tensor.name])

    def dim(name: str, axis: int, before: Dim, now: int | None) -> Dim:
        if now is not None or isinstance(before, str):
            return before
        fitting = following.get(before, set())
        return next(iter(fitting)) if len(fitting) == 1 else f"{name}_axis{axis}"

    return tuple(
        replace(
            tensor,
            shape=tuple(
                dim(tensor.name, axis, before, now)
                for axis, (before, now) in enumerate(zip(tensor.shape, shape, strict=True))
            ),
        )
        for tensor, shape in zip(outputs, trace.output_shapes, strict=True)
    )


def has_fixed_time(tensor: TensorSpec) -> bool:
    one_value = tensor.below is not None or tensor.dtype == "bool"  # an id or a mask for each step
    sequence = len(tensor.shape) == 3 or (len(tensor.shape) == 2 and one_value)
    return sequence and isinstance(tensor.shape[1], int)
