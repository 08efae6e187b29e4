"""TFLite: trace with our own loops in place of Keras', convert, give the signature its names.

Builtin operators only; what would need TensorFlow's own (Flex) is refused. The converter keeps
the order of inputs and outputs and loses their names, so signatures are written afterwards.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rnn_deploy.bundle.manifest import Choice
from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.exporting.tflite_merge import merged, with_signature
from rnn_deploy.lowering import tflite_loop
from rnn_deploy.source.intercept import Call
from rnn_deploy.source.reading import precision_of, read
from rnn_deploy.source.signature import call_flat
from rnn_deploy.source.tensorflow import tf
from rnn_deploy.source.tracing import frozen, tensorflow_spec
from rnn_deploy.spec import EntryPoint, Recurrence, StateKey, state_keys


def convert(model: Any, entries: Sequence[EntryPoint]) -> bytes:
    """One TFLite file with a signature for each entry point, sharing their weights."""
    if precision_of(model) == "float64":
        raise UnsupportedModelError(
            f"model '{model.name}': computes in float64, which TFLite's operators do not;"
            " export with --to onnx only"
        )
    files = [with_signature(_convert_entry(model, entry), entry) for entry in entries]
    return merged(files)


def choices_of(layers: Sequence[Recurrence]) -> tuple[Choice, ...]:
    """How each layer is lowered for TFLite: there is one way so far."""
    return tuple(
        Choice(layer.name, layer.cell, layer.units, tflite_loop.NAME, tflite_loop.REASON)
        for layer in layers
    )


def _convert_entry(model: Any, entry: EntryPoint) -> bytes:
    def function(*tensors: Any) -> list[Any]:
        inputs, initial = tensors[: len(entry.inputs)], tensors[len(entry.inputs) :]
        given.update(zip((state.key for state in entry.states), initial, strict=True))
        outputs = call_flat(model, inputs)
        # Outputs that are one tensor would be merged into one; an identity keeps each its own.
        return [tf.identity(t) for t in (*outputs, *(finals[s.key] for s in entry.states))]

    given: dict[StateKey, Any] = {}
    finals: dict[StateKey, Any] = {}

    def loop(call: Call) -> tuple[Any, list[Any]]:
        stack = read(call)
        keys = state_keys(stack)
        own = [tf.cast(state, tf.float32) for state in call.initial_state or ()]
        initial = dict(zip(keys, own, strict=True)) if own else given
        mask = None if call.mask is None else tf.cast(call.mask, tf.bool)
        output, after = tf.cast(call.sequences, tf.float32), []
        for layer in stack:
            states = [initial[key] for key in state_keys((layer,)) if key in initial] or None
            output, layer_after = tflite_loop.lower(layer, output, states, mask)
            after += layer_after
            if mask is not None and layer.go_backwards:
                mask = tf.reverse(mask, [1])  # what comes next runs over the steps in this order
        finals.update(zip(keys, after, strict=True))
        return output, after

    specs = [tensorflow_spec(tensor) for tensor in entry.all_inputs]
    graph = frozen(model, loop, function, specs)
    with _quiet_converter():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return bytes(converter.convert())
        except Exception as error:  # the converter raises several types of its own
            raise UnsupportedModelError(
                f"model '{model.name}': TFLite's builtin operators cannot express it"
                f" ({one_line(error)}); export with --to onnx only"
            ) from error


@contextmanager
def _quiet_converter() -> Iterator[None]:
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
