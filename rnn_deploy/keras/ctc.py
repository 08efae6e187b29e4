"""Connectionist temporal classification: remove the loss of a training model; greedy decoding.

If a layer of a training model computes the CTC loss, the model is cut at its predictions: the loss
needs labels, which do not exist at inference. Greedy decoding is written with operations that every
format has; beam search is refused.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras import access, compat
from rnn_deploy.keras.keras2.package import is_keras2, package
from rnn_deploy.keras.tensorflow import keras, tf


def without_ctc_loss(model: Any) -> tuple[Any, tuple[str, ...]]:
    """Return a functional model that ends at its predictions, not at a CTC loss, and notes."""
    functional = access.functional_of(model)
    if functional is None:
        return model, ()
    losses = [c for c in access.calls_of_layers(functional) if _computes_ctc_loss(c)]
    outputs = list(functional.outputs)
    notes = []
    for call in losses:
        predictions = _predictions_of(call, functional)
        if predictions is None:
            continue
        made = {id(tensor) for tensor in call.outputs}
        outputs = [predictions if id(tensor) in made else tensor for tensor in outputs]
        notes.append((call.layer.name, access.layer_that_made(predictions).name))
    outputs = list({id(tensor): tensor for tensor in outputs}.values())
    if not notes or [*map(id, outputs)] == [*map(id, functional.outputs)]:
        return model, ()
    needed = access.inputs_behind(functional, outputs)
    inputs = [tensor for tensor in functional.inputs if id(tensor) in needed]
    dropped = [access.layer_that_made(t).name for t in functional.inputs if id(t) not in needed]
    kind = package().Model if is_keras2(model) else keras.Model
    cut = kind(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name=model.name,
    )
    only = f", and the inputs {', '.join(dropped)}, which only it reads" if dropped else ""
    return cut, tuple(
        f"layer '{loss}', which computes the CTC loss of the training, is left out{only}; the model"
        f" ends at its predictions, the output of layer '{last}'"
        for loss, last in notes
    )


def _computes_ctc_loss(call: access.GraphCall) -> bool:
    """Return whether a user's layer calls TensorFlow's CTC loss."""
    module = type(call.layer).__module__
    own = not module.startswith(("keras.", "tf_keras.")) or type(call.layer).__name__ == "Lambda"
    if not own or len(call.inputs) < 2:
        return False
    function = getattr(call.layer, "function", None)
    if function is not None and "ctc" in f"{call.layer.name} {_name(function)}".lower():
        return True  # its code may fail: a Lambda from a file lacks the modules that it used
    seen: list[bool] = []

    def loss(*args: Any, **options: Any) -> Any:
        seen.append(True)
        raise NotImplementedError

    def run() -> None:
        with tf.Graph().as_default():
            call.run([tf.compat.v1.placeholder(t.dtype, t.shape) for t in call.inputs])

    with (
        compat.replaced(tf.nn, "ctc_loss", loss),
        compat.replaced(tf.compat.v1.nn, "ctc_loss", loss),
    ):
        try:
            run()
        except Exception:  # the user's code may raise anything; only the call of the loss matters
            return bool(seen)
    return bool(seen)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", ""))


def _predictions_of(call: access.GraphCall, functional: Any) -> Any | None:
    """Return the loss's only input that is a sequence computed by the model; None if not unique."""
    inputs = {id(tensor) for tensor in functional.inputs}
    found = [
        tensor
        for tensor in call.inputs
        if id(tensor) not in inputs
        and len(tensor.shape) == 3
        and "float" in str(keras.backend.standardize_dtype(tensor.dtype))
    ]
    return found[0] if len(found) == 1 else None


@contextmanager
def decoding() -> Iterator[None]:
    """While open, CTC decoding is written with operations that every format has."""
    with (
        compat.replaced(*compat.CTC_DECODE, _decode(getattr(*compat.CTC_DECODE))),
        compat.replaced(tf.nn, "ctc_greedy_decoder", _blank_last(tf.nn.ctc_greedy_decoder)),
    ):
        yield


def _decode(original: Callable[..., Any]) -> Callable[..., Any]:
    def ctc_decode(
        inputs: Any,
        sequence_lengths: Any,
        strategy: str = "greedy",
        beam_width: int = 100,
        top_paths: int = 1,
        merge_repeated: bool = True,
        mask_index: int | None = 0,
    ) -> Any:
        if strategy == "greedy":
            return _greedy(inputs, sequence_lengths, merge_repeated, mask_index)
        if strategy == "beam_search":
            raise UnsupportedModelError(
                "E-MODEL-BEAM-SEARCH",
                f"{_calling_layer()}decodes CTC by beam search, for which no format has an"
                " operator; use strategy='greedy', or end the model at its probabilities and decode"
                " outside",
            )
        return original(
            inputs, sequence_lengths, strategy, beam_width, top_paths, merge_repeated, mask_index
        )

    return ctc_decode


def _calling_layer() -> str:
    """Return the layer whose code is running, as the start of a sentence."""
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.layers.Layer):
            return f"layer '{owner.name}' "
        frame = frame.f_back
    return "the model "


def _greedy(x: Any, lengths: Any, merge_repeated: bool, blank: int | None) -> tuple[Any, Any]:
    """Decode x (batch, time, classes): ids (1, batch, time), padded with -1; scores (batch, 1)."""
    x = keras.ops.convert_to_tensor(x)
    x = x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)
    batch, time, classes = tf.unstack(tf.shape(x))
    blank = -1 if blank is None else blank
    nothing = classes + blank if blank < 0 else tf.constant(blank)
    best = tf.argmax(x, axis=-1, output_type=tf.int32)
    counted = (
        tf.range(time)[None] < tf.cast(keras.ops.convert_to_tensor(lengths), tf.int32)[:, None]
    )
    kept = tf.logical_and(counted, tf.not_equal(best, nothing))
    if merge_repeated:
        before = tf.concat([tf.fill([batch, 1], -1), best[:, :-1]], axis=1)
        kept = tf.logical_and(kept, tf.not_equal(best, before))
    # Dropped labels go to an extra column at the end, which is cut off.
    place = tf.where(kept, tf.cumsum(tf.cast(kept, tf.int32), axis=1) - 1, time)
    rows = tf.range(batch)[:, None] + tf.zeros_like(place)
    places = tf.stack([rows, place], axis=-1)
    dense = tf.scatter_nd(places, best + 1, tf.stack([batch, time + 1]))[:, :-1] - 1
    dense.set_shape([x.shape[0], x.shape[1]])
    most = tf.reduce_max(x, axis=-1)
    scores = -tf.reduce_sum(tf.where(counted, most, tf.zeros_like(most)), axis=1, keepdims=True)
    return dense[None], scores


def _blank_last(original: Callable[..., Any]) -> Callable[..., Any]:
    """Move the blank to the last class, because tf2onnx ignores the operator's blank index."""

    def ctc_greedy_decoder(
        inputs: Any, sequence_length: Any, merge_repeated: bool = True, blank_index: Any = None
    ) -> Any:
        classes = inputs.shape[-1]
        if blank_index in (None, -1) or (classes is not None and blank_index == classes - 1):
            return original(inputs, sequence_length, merge_repeated)
        blank = blank_index + classes if blank_index < 0 else blank_index
        parts = (inputs[..., :blank], inputs[..., blank + 1 :], inputs[..., blank : blank + 1])
        decoded, scores = original(tf.concat(parts, axis=-1), sequence_length, merge_repeated)
        return [_with_ids_above(blank, ids) for ids in decoded], scores

    return ctc_greedy_decoder


def _with_ids_above(blank: int, ids: Any) -> Any:
    values: Sequence[Any] = tf.where(ids.values >= blank, ids.values + 1, ids.values)
    return tf.SparseTensor(ids.indices, values, ids.dense_shape)
