"""Check once per process, before the first trace, that Keras still calls the replaced functions.

If a new Keras computed a layer in another way, the layer would not be recognised as recurrent, or
it would lose its mask, or run in float32 where the oracle needs float64. So this module traces a
small model with every kind of recurrent layer and calls every other replaced operation: each
replacement must be reached. All names and seeds are explicit, so that the names and random numbers
of the user's own layers do not change.
"""

from functools import cache
from typing import Any

from rnn_deploy.errors import RnnDeployError, one_line
from rnn_deploy.keras import compat
from rnn_deploy.keras.intercept import LayerCall, intercepting
from rnn_deploy.keras.precision import computing_in
from rnn_deploy.keras.rewrites import fitting_tflite, noting, rewriting
from rnn_deploy.keras.signature import call_flat, signature_of, taking_any_length
from rnn_deploy.keras.tensorflow import keras, tf

_LAYERS = (
    *("SimpleRNN", "GRU", "LSTM", "RNN", "StackedRNNCells", "ConvLSTM1D", "TimeDistributed"),
    *("forward_Bidirectional", "backward_Bidirectional"),
)
_UNMASKED = ("ConvLSTM1D", "TimeDistributed")  # called without a mask by the model below
# TensorFlow has two names for these; Keras 3 calls the other one.
_ALSO_NAMED = tuple(
    f"tensorflow._api.v2.nn.{name}" for name in ("softplus", "max_pool3d", "avg_pool3d")
)


@cache
def check_seams() -> None:
    """Raise RuntimeUnavailableError if Keras no longer calls a replaced function."""
    seen: dict[str, LayerCall] = {}

    def handler(call: LayerCall) -> tuple[Any, list[Any]]:
        seen[call.name] = call
        shape = call.layer.compute_output_shape(call.sequences.shape)
        return tf.zeros(shape, call.sequences.dtype), []  # Keras' own loop is slow to trace

    try:
        with compat.noting_reached() as reached:
            _trace(handler)
    except RnnDeployError:
        raise
    except Exception as error:  # a new Keras may raise any exception
        fault = f"a test model cannot be traced ({type(error).__name__}: {one_line(error)})"
        raise compat.newer_than_checked("keras", fault) from error
    for name in _LAYERS:
        if name not in seen:
            raise compat.newer_than_checked("keras", f"{name} is not intercepted")
        if seen[name].mask is None and name not in _UNMASKED:
            raise compat.newer_than_checked("keras", f"{name} receives no mask")
        if seen[name].sequences.dtype != tf.float64:
            raise compat.newer_than_checked("keras", f"{name} does not compute in float64")
    for name, called in reached.items():
        if not called and name not in _ALSO_NAMED:
            raise compat.newer_than_checked("keras", f"{name} is no longer called")


def _trace(handler: Any) -> None:
    """Trace the test model and the operations, without computing them."""
    model = _model()
    signature_of(model)

    def function(x: Any, ids: Any) -> list[Any]:
        with noting({}), rewriting(), fitting_tflite(), taking_any_length(model):
            with computing_in(model, "float64"), intercepting(handler):
                outputs = call_flat(model, [x, ids])
                kernel = tf.convert_to_tensor(model.get_layer("GRU").cell.kernel)
            if kernel.dtype != tf.float64:
                raise compat.newer_than_checked("keras", "weights are not read as float64")
            return [*outputs, *_operations(x, ids)]

    specs = [tf.TensorSpec([2, 5, 4], tf.float64), tf.TensorSpec([2, 5], tf.int32)]
    tf.function(function, autograph=False).get_concrete_function(*specs)


class _Decorated(keras.layers.Layer):  # type: ignore[misc]
    """A layer whose call is a tf.function, which must be traced where it is called."""

    @tf.function  # type: ignore[untyped-decorator]
    def call(self, x: Any) -> Any:
        return x


def _model() -> Any:
    """Return a model of inputs (2, 3, 4) with every kind of recurrent layer."""
    layers, f32 = keras.layers, {"dtype": "float32"}
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros", "seed": 0, **f32}
    x = keras.Input(batch_shape=(2, 3, 4), name="x", **f32)
    inner = keras.Model(x, _Decorated(name="decorated", **f32)(x), name="inner")
    given = inner(x)
    masked = layers.Masking(name="masking", **f32)(given)

    def cell(name: str) -> Any:
        return layers.SimpleRNNCell(2, name=name, **zeros)

    steps = layers.Reshape((-1, 4, 1), name="steps", **f32)(given)
    outputs = [
        layers.SimpleRNN(2, name="SimpleRNN", **zeros)(masked),
        layers.GRU(2, name="GRU", **zeros)(masked),
        layers.LSTM(2, name="LSTM", **zeros)(masked),
        layers.RNN(cell("a"), name="RNN", **f32)(masked),
        layers.RNN([cell("b"), cell("c")], name="StackedRNNCells", **f32)(masked),
        layers.Bidirectional(
            layers.LSTM(2, name="Bidirectional", **zeros), name="both", **f32
        )(masked),
        layers.ConvLSTM1D(1, 1, data_format="channels_last", name="ConvLSTM1D", **zeros)(steps),
        layers.TimeDistributed(
            layers.GRU(2, name="TimeDistributed", **zeros), name="each", **f32
        )(steps),
    ]  # fmt: skip
    ids = keras.Input(batch_shape=(2, 3), name="ids", dtype="int32")
    outputs += [
        layers.Embedding(3, 2, embeddings_initializer="zeros", name="embed", **f32)(ids),
        layers.CategoryEncoding(3, output_mode="multi_hot", name="encode", **f32)(ids),
    ]
    return keras.Model([x, ids], outputs, name="seams")


def _operations(x: Any, ids: Any) -> list[Any]:
    """Call every other replaced operation, as a model would."""
    ops, heads = keras.ops, x[:, :, None]
    frames = x[:, :, None, :, None]
    ctc = tf.transpose(x, [1, 0, 2])
    return [
        *(ops.matmul(x, ops.zeros((4, 2), "float64")), ops.argmax(x), ops.normalize(x)),
        ops.dot_product_attention(heads, heads, heads, is_causal=True),
        *(ops.ctc_decode(x, ids[:, 0])[1], tf.nn.ctc_greedy_decoder(ctc, ids[:, 0])[1]),
        *ops.rfft(x),
        *ops.stft(x, 2, 1, 2),
        *(ops.roll(x, 1, axis=1), x[:, None]),
        *(ops.digitize(x, [0.0, 1.0]), ops.one_hot(ids, 3)),
        *(ops.max_pool(frames, 1), ops.average_pool(frames, 1)),
        *(ops.softplus(x), ops.log_sigmoid(x), ops.isinf(x)),
    ]
