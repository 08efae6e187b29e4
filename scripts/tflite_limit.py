"""What no form of a layer can outrun on LiteRT: graphs that do less than the layer must.

products      the recurrent product of every step, each of the one before it, and nothing else
arithmetic    also the inputs' product, once for all steps, and the elementwise operators of each
              step, the fewest known; but every step takes the same row, and no output is kept

Each with k steps to a turn of a WHILE that carries the states alone. XNNPACK packs a copy of the
weights for every product that is written out, so k = 1 has one copy of them and k = T no loop. The
stock converter makes them, every size fixed. Products alone keep the length of what they take, so
that no number becomes denormal.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from rnn_deploy.keras.tensorflow import tf

Shape = tuple[int, ...]
PRODUCTS, ARITHMETIC = "products", "arithmetic"
LIMITS = (PRODUCTS, ARITHMETIC)
WRITTEN_OUT = 100  # at most
GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


def turns_of(steps: int) -> list[int]:
    """The k to try: of all, the fastest is the limit."""
    most = [steps] if steps <= WRITTEN_OUT else []
    return sorted({k for k in (1, 2, 10, *most) if steps % k == 0})


def limit(what: str, cell: str, shape: Shape, k: int) -> bytes:
    """The graph with k steps to a turn; its input is what `input_of` tells."""
    batch, steps, width, units = shape
    given = input_of(what, shape)
    if what == PRODUCTS:
        step = _product(cell, units)
        return _converted(lambda h: _walk(step, [h], steps, k)[0], given)
    rng = np.random.default_rng(0)
    gates = GATES[cell] * units
    W, R = (_normal(rng, rows, gates) for rows in (width, units))

    def arithmetic(x: Any) -> Any:
        row = tf.reshape(x, [batch * steps, width]) @ tf.constant(W)
        first = tf.reshape(row, [batch, steps, gates])[:, 0]
        begin = [tf.zeros([batch, units])] * (2 if cell == "LSTM" else 1)
        return _walk(_STEPS[cell](first, R, units), begin, steps, k)[0]

    return _converted(arithmetic, given)


def input_of(what: str, shape: Shape) -> Shape:
    """h for products alone, else x."""
    batch, steps, width, units = shape
    return (batch, units) if what == PRODUCTS else (batch, steps, width)


def _walk(step: Callable[..., list[Any]], states: list[Any], steps: int, k: int) -> list[Any]:
    def turn(*states: Any) -> list[Any]:
        after = list(states)
        for _ in range(k):
            after = step(*after)
        return after

    if k == steps:
        return turn(*states)
    begin = [tf.constant(0), *states]
    return tf.while_loop(
        lambda i, *_: i < steps // k, lambda i, *states: [i + 1, *turn(*states)], begin
    )[1:]


def _product(cell: str, units: int) -> Callable[..., list[Any]]:
    """h times weights that keep its length; of gates, the first is the next h."""
    rng = np.random.default_rng(0)
    parts = [np.linalg.qr(rng.standard_normal((units, units)))[0] for _ in range(GATES[cell])]
    R = np.concatenate(parts, axis=1).astype(np.float32)

    def product(h: Any) -> list[Any]:
        made = h @ tf.constant(R)
        return [made if GATES[cell] == 1 else made[:, :units]]

    return product


def _simple_rnn(x: Any, R: Any, units: int) -> Callable[..., list[Any]]:
    return lambda h: [tf.tanh(x + h @ tf.constant(R))]


def _gru(x: Any, R: Any, units: int) -> Callable[..., list[Any]]:
    x_gates, x_new = x[:, : 2 * units], x[:, 2 * units :]

    def step(h: Any) -> list[Any]:
        product = h @ tf.constant(R)
        z, r = tf.split(tf.sigmoid(x_gates + product[:, : 2 * units]), 2, axis=-1)
        new = tf.tanh(x_new + r * product[:, 2 * units :])
        return [new + z * (h - new)]

    return step


def _lstm(x: Any, R: Any, units: int) -> Callable[..., list[Any]]:
    def step(h: Any, c: Any) -> list[Any]:
        gates = x + h @ tf.constant(R)
        i, forget, _, o = tf.split(tf.sigmoid(gates), 4, axis=-1)
        c = forget * c + i * tf.tanh(gates[:, 2 * units : 3 * units])
        return [o * tf.tanh(c), c]

    return step


_STEPS = {"SimpleRNN": _simple_rnn, "GRU": _gru, "LSTM": _lstm}


def _normal(rng: np.random.Generator, rows: int, columns: int) -> Any:
    return (0.5 / np.sqrt(rows) * rng.standard_normal((rows, columns))).astype(np.float32)


def _converted(function: Callable[[Any], Any], shape: Shape) -> bytes:
    spec = tf.TensorSpec(shape, tf.float32)
    concrete = tf.function(function, autograph=False).get_concrete_function(spec)
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
