"""Rewrite some of a model's operations while it is traced.

For both formats (`rewriting`):

- a product of a sequence with a matrix stays one product (Keras writes it as a reshape, a product
  and a reshape);
- the sign of a zero is that of its reciprocal: in argmax Keras reads the sign bit to rank -0 before
  0, which ONNX cannot. NaN counts as positive, whatever its bit is;
- a length is made positive before its root is taken and not after, because LiteRT's reciprocal root
  of zero is NaN (seen with ai-edge-litert 2.3);
- a causal attention compares step numbers, because TFLite has no operator for the slice with new
  axes with which Keras makes its triangle;
- CTC decoding is written as in `ctc`.

For ONNX (`noting`):

- an Embedding is one Gather, which takes negative ids as Keras does;
- a negative id is not a class in one_hot, where ONNX counts from the end;
- Fourier transforms are matrix products, as in `spectra`;
- the bin of a value is the number of boundaries at or below it: ONNX has no operator for bins.

For TFLite (`fitting_tflite`):

- softplus and log_sigmoid take the exponential of a number that is not positive, because TFLite's
  own form, log(1 + exp(x)), is infinite from 89 on;
- a slice adds no axis and a roll is a gather, as in `slices`;
- 3-D pooling is written as in `pooling`;
- a value is infinite if it exceeds every finite number: in LiteRT 2.3 nothing equals infinity.

Inputs are recognised where they reach an Embedding or a Masking, with the vocabulary or padding.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras import access, compat
from rnn_deploy.keras.ctc import decoding
from rnn_deploy.keras.pooling import flat_pooling
from rnn_deploy.keras.slices import slicing_for_tflite
from rnn_deploy.keras.spectra import spectra_as_products
from rnn_deploy.keras.tensorflow import keras, tf

# Operations that move token ids and change none.
_MOVING = ("Reshape", "StridedSlice", "Slice", "Transpose", "ExpandDims", "Squeeze", "ReverseV2")
_SAME = ("Cast", "Identity")


@dataclass(frozen=True)
class InputFacts:
    """The meaning of an input's values: ids below a vocabulary size, a value that masks a step."""

    below: int | None = None
    padding: float | None = None


@contextmanager
def rewriting() -> Iterator[None]:
    """While open, operations are written in forms that all formats have and that need few nodes."""
    encoding = keras.layers.CategoryEncoding.call
    with (
        compat.replaced(tf, "tensordot", _tensordot_as_matmul(tf.tensordot)),
        compat.replaced(compat.backend_numpy, "signbit", _signbit),
        compat.replaced(*compat.NORMALIZE, _normalize(getattr(*compat.NORMALIZE))),
        compat.replaced(*compat.APPLY_MASKS, _masked(compat.get_large_negative)),
        compat.replaced(keras.layers.CategoryEncoding, "call", _encoding(encoding)),
        decoding(),
    ):
        yield


@contextmanager
def fitting_tflite() -> Iterator[None]:
    """While open, operations that TFLite computes wrongly far from zero are written otherwise."""
    with (
        compat.replaced(tf.math, "softplus", _softplus),
        compat.replaced(tf.nn, "softplus", _softplus),
        compat.replaced(tf.math, "log_sigmoid", lambda x, name=None: -_softplus(-x)),
        slicing_for_tflite(),
        flat_pooling(),
        compat.replaced(tf.math, "is_inf", lambda x, name=None: tf.abs(x) > x.dtype.max),
    ):
        yield


@contextmanager
def noting(facts: dict[str, InputFacts]) -> Iterator[None]:
    """While open, store facts about inputs in `facts`, by their names in the graph."""
    with ExitStack() as stack:
        for layers in access.layer_modules():
            masking = _noting_padding(layers.Masking.call, facts)
            stack.enter_context(compat.replaced(layers.Embedding, "call", _embedding(facts)))
            stack.enter_context(compat.replaced(layers.Masking, "call", masking))
        stack.enter_context(compat.replaced(compat.backend_numpy, "digitize", _digitize))
        stack.enter_context(spectra_as_products())
        stack.enter_context(compat.replaced(tf, "one_hot", _one_hot(tf.one_hot)))
        yield


def _embedding(facts: dict[str, InputFacts]) -> Callable[..., Any]:
    def embedding(self: Any, inputs: Any) -> Any:
        _note_ids(self, inputs, facts)
        ids = inputs if inputs.dtype in (tf.int32, tf.int64) else tf.cast(inputs, tf.int32)
        table = tf.convert_to_tensor(self.embeddings)
        return tf.cast(tf.gather(table, ids), self.compute_dtype)

    return embedding


def _note_ids(layer: Any, inputs: Any, facts: dict[str, InputFacts]) -> None:
    name = _input_behind(inputs, (*_SAME, *_MOVING))
    if name is None:
        return
    known = facts.get(name, InputFacts())
    below = min(int(layer.input_dim), known.below or layer.input_dim)
    # Steps of the input are steps of the sequence only if the ids are unchanged.
    masks = layer.mask_zero and _input_behind(inputs, _SAME) is not None
    facts[name] = InputFacts(below, 0.0 if masks else known.padding)


def _noting_padding(
    masking: Callable[..., Any], facts: dict[str, InputFacts]
) -> Callable[..., Any]:
    def noting(self: Any, inputs: Any) -> Any:
        name = _input_behind(inputs, _SAME)
        if name is not None:
            known = facts.get(name, InputFacts())
            facts[name] = replace(known, padding=float(self.mask_value))
        return masking(self, inputs)

    return noting


def _input_behind(tensor: Any, through: tuple[str, ...]) -> str | None:
    """Return the name of the model input that `tensor` is, behind operations of these types."""
    source = tensor.op
    while source.type in through:
        source = source.inputs[0].op
    return str(source.name) if source.type == "Placeholder" else None


def _encoding(original: Callable[..., Any]) -> Callable[..., Any]:
    def encoding(self: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        last = inputs.shape[-1] if inputs.shape.rank else 0
        if self.output_mode == "one_hot" and last is None:
            raise UnsupportedModelError(
                "E-MODEL-ENCODING",
                f"layer '{self.name}': CategoryEncoding removes the axis of steps if there is one"
                " step, so it cannot have an open number of steps; put keras.layers.Reshape((-1,"
                " 1)) before it, or call keras.ops.one_hot",
            )
        return original(self, inputs, *args, **options)

    return encoding


def _tensordot_as_matmul(original: Callable[..., Any]) -> Callable[..., Any]:
    def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Any:
        last = ([[-1], [0]], [[a.shape.rank - 1], [0]])  # as Keras 3 and Keras 2 write it
        if a.shape.rank and axes in last and b.shape.rank == 2:
            return tf.matmul(a, b, name=name)
        return original(a, b, axes, name)

    return tensordot


def _signbit(x: Any) -> Any:
    x = keras.ops.convert_to_tensor(x)
    if not x.dtype.is_floating:
        return tf.less(x, tf.zeros((), x.dtype))
    zero = tf.zeros((), x.dtype)
    return tf.logical_or(x < zero, tf.logical_and(tf.equal(x, zero), tf.math.reciprocal(x) < zero))


def _softplus(features: Any, name: str | None = None) -> Any:
    x = tf.convert_to_tensor(features)
    return tf.nn.relu(x) + tf.math.log1p(tf.exp(-tf.abs(x)))


def _digitize(x: Any, bins: Any) -> Any:
    """Return the bin of each value, like TensorFlow's Bucketize: NaN is in the last one."""
    x = keras.ops.convert_to_tensor(x)
    x = x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)
    boundaries = tf.cast(tf.constant([float(edge) for edge in bins], tf.float32), x.dtype)
    return tf.reduce_sum(tf.cast(tf.logical_not(x[..., None] < boundaries), tf.int32), axis=-1)


def _one_hot(original: Callable[..., Any]) -> Callable[..., Any]:
    def one_hot(indices: Any, depth: Any, *args: Any, **options: Any) -> Any:
        indices = tf.convert_to_tensor(indices)
        beyond = tf.cast(depth, indices.dtype)  # an id that is not a class in any format
        return original(tf.where(indices < 0, beyond, indices), depth, *args, **options)

    return one_hot


def _normalize(original: Callable[..., Any]) -> Callable[..., Any]:
    def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Any:
        if order != 2:
            return original(x, axis, order, epsilon)
        x = keras.ops.convert_to_tensor(x)
        least = keras.config.epsilon() if epsilon is None else epsilon
        squares = keras.ops.sum(keras.ops.square(x), axis=axis, keepdims=True)
        return x * keras.ops.rsqrt(keras.ops.maximum(squares, least**2))

    return normalize


def _masked(least: Callable[[Any], Any]) -> Callable[..., Any]:
    def masked(logits: Any, mask: Any, is_causal: bool) -> Any:
        seen = mask
        if is_causal:
            queries, keys = tf.shape(logits)[2], tf.shape(logits)[3]
            rows = tf.reshape(tf.range(queries), (1, 1, -1, 1))
            back = tf.less_equal(tf.reshape(tf.range(keys), (1, 1, 1, -1)), rows)
            seen = back if mask is None else tf.logical_and(mask, back)
        return logits if seen is None else tf.where(seen, logits, least(logits.dtype))

    return masked
