"""The four experiments of the "RNN Basic" notebook, with the weights behind its printed numbers.

The notebook (Chanseok Kang, "RNN Basic", 2020; run with TensorFlow 2.17) feeds one-hot letters of
"helo" to untrained SimpleRNNs of two units and prints outputs and states, but not the weights.
They are recovered here: with tanh, no bias and a zero first state,

    arctanh(h_t) = x_t W + h_(t-1) R

is linear in W (4, 2) and R (2, 2).

* batched: 30 equations for 12 unknowns fix both, so the table is a test of the recurrence.
* unfolded: 10 equations, and Keras draws R orthogonal; a rotation and a reflection both fit.
  This is the rotation.
* the one-step tables fix only the row of W for "h"; the rest is drawn from a seeded generator.

Input "letters" (batch, time, 4) float32; outputs the sequence (batch, time, 2) and the last
state (batch, 2).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

SEED = 2020
ALPHABET = "helo"
UNITS = 2

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Experiment:
    """What went in and what the notebook printed."""

    words: tuple[str, ...]
    outputs: Doubles  # (words, time, 2)
    states: Doubles  # (words, 2)


@dataclass(frozen=True, eq=False)
class Weights:
    """A SimpleRNN's weights in the order Keras keeps them, without the bias, which is zero."""

    W: Doubles  # (4, 2)
    R: Doubles  # (2, 2)


EXPERIMENTS: dict[str, Experiment] = {
    "cell_one_step": Experiment(
        words=("h",),
        outputs=np.array([[[-0.56661063, 0.724539]]]),
        states=np.array([[-0.56661063, 0.724539]]),
    ),
    "layer_one_step": Experiment(
        words=("h",),
        outputs=np.array([[[0.74435496, -0.29972216]]]),
        states=np.array([[0.74435496, -0.29972216]]),
    ),
    "unfolded": Experiment(
        words=("hello",),
        outputs=np.array(
            [
                [
                    [0.27097753, 0.7526068],
                    [-0.18402556, 0.3310005],
                    [0.39019778, 0.5721705],
                    [0.13431062, 0.836263],
                    [0.7391487, 0.16480744],
                ]
            ]
        ),
        states=np.array([[0.7391487, 0.16480744]]),
    ),
    "batched": Experiment(
        words=("hello", "eolll", "lleel"),
        outputs=np.array(
            [
                [
                    [-0.5156224, 0.35898373],
                    [0.15212457, 0.02775879],
                    [-0.39157686, -0.02593066],
                    [0.12581399, -0.10759626],
                    [0.34998876, 0.616439],
                ],
                [
                    [-0.25226462, 0.4643481],
                    [0.5304369, 0.07158946],
                    [-0.65902925, 0.02489586],
                    [0.3567318, -0.21960385],
                    [-0.5012186, 0.25826764],
                ],
                [
                    [-0.25372475, -0.03654187],
                    [-0.00449121, -0.06364252],
                    [-0.23339728, 0.5105023],
                    [-0.15627259, -0.04941762],
                    [-0.09546486, -0.02720663],
                ],
            ]
        ),
        states=np.array(
            [[0.34998876, 0.616439], [-0.5012186, 0.25826764], [-0.09546486, -0.02720663]]
        ),
    ),
}


def one_hot(words: tuple[str, ...]) -> Floats:
    """Words of one length as (words, time, 4)."""
    indices = [[ALPHABET.index(letter) for letter in word] for word in words]
    return np.eye(len(ALPHABET), dtype=np.float32)[indices]


def equations(experiment: Experiment) -> tuple[Doubles, Doubles, Doubles]:
    """Every step of every word, a row each: x_t (rows, 4), h_(t-1) and arctanh(h_t) (rows, 2)."""
    h = experiment.outputs
    before = np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], axis=1)
    x = one_hot(experiment.words).astype(np.float64)
    return (
        x.reshape(-1, len(ALPHABET)),
        before.reshape(-1, UNITS),
        np.arctanh(h).reshape(-1, UNITS),
    )


def solve(a: Doubles, b: Doubles) -> Doubles:
    """The w with a w nearest b, by least squares."""
    return np.asarray(np.linalg.lstsq(a, b, rcond=None)[0], dtype=np.float64)


def least_squares_weights(experiment: Experiment) -> Weights:
    """W and R together, where the table fixes both."""
    x, before, target = equations(experiment)
    solution = solve(np.hstack([x, before]), target)
    return Weights(W=solution[: len(ALPHABET)], R=solution[len(ALPHABET) :])


def rotation_weights(experiment: Experiment) -> Weights:
    """W and the rotation R, from the two steps of "hello" whose input is "l".

    Their difference cancels W: (h_3 - h_2) R = arctanh(h_4) - arctanh(h_3), steps counted from 1.
    A rotation keeps lengths, so the angle between the two sides is R; the rest is linear in W.
    """
    x, before, target = equations(experiment)
    source, image = before[3] - before[2], target[3] - target[2]
    angle = np.arctan2(image[1], image[0]) - np.arctan2(source[1], source[0])
    cos, sin = np.cos(angle), np.sin(angle)
    R = np.array([[cos, sin], [-sin, cos]])  # multiplies row vectors from the right
    return Weights(W=solve(x, target - before @ R), R=R)


def one_step_weights(experiment: Experiment) -> Weights:
    """The row of W for the one letter fed; everything else is free, and drawn."""
    generator = np.random.default_rng(SEED)
    W = generator.normal(size=(len(ALPHABET), UNITS))
    W[ALPHABET.index(experiment.words[0])] = np.arctanh(experiment.outputs[0, 0])
    return Weights(W=W, R=generator.normal(size=(UNITS, UNITS)))


def model_of(name: str, rnn: "keras.layers.Layer", weights: Weights) -> "keras.Model":
    """A model of the one layer `rnn`, returning its sequence and its last state."""
    import keras

    letters = keras.Input(shape=(None, len(ALPHABET)), name="letters")
    sequence, state = rnn(letters)
    model = keras.Model(letters, [sequence, state], name=name)
    rnn.set_weights([weights.W, weights.R, np.zeros(UNITS)])
    return model


def cell_layer() -> "keras.layers.Layer":
    """The layer of three of the experiments: a cell, and `RNN` to run it."""
    import keras

    cell = keras.layers.SimpleRNNCell(UNITS, name="cell")
    return keras.layers.RNN(cell, return_sequences=True, return_state=True, name="rnn")


def cell_one_step() -> "keras.Model":
    """RNN(SimpleRNNCell(2)) as run on "h"."""
    weights = one_step_weights(EXPERIMENTS["cell_one_step"])
    return model_of("cell_one_step", cell_layer(), weights)


def layer_one_step() -> "keras.Model":
    """SimpleRNN(2) as run on "h"."""
    import keras

    layer = keras.layers.SimpleRNN(UNITS, return_sequences=True, return_state=True, name="rnn")
    weights = one_step_weights(EXPERIMENTS["layer_one_step"])
    return model_of("layer_one_step", layer, weights)


def unfolded() -> "keras.Model":
    """RNN(SimpleRNNCell(2)) as run on "hello"."""
    return model_of("unfolded", cell_layer(), rotation_weights(EXPERIMENTS["unfolded"]))


def batched() -> "keras.Model":
    """RNN(SimpleRNNCell(2)) as run on "hello", "eolll" and "lleel"."""
    return model_of("batched", cell_layer(), least_squares_weights(EXPERIMENTS["batched"]))


def build_model() -> "keras.Model":
    """The batched experiment, the one whose table fixes every weight."""
    model = batched()
    experiment = EXPERIMENTS["batched"]
    sequence, _ = model.predict(one_hot(experiment.words), verbose=0)
    error = np.abs(sequence - experiment.outputs).max()
    print(f"notebook: at most {error:.1e} from the printed outputs")
    return model


def samples() -> dict[str, Floats]:
    """The three words of the batched experiment, (3, 5, 4)."""
    return {"letters": one_hot(EXPERIMENTS["batched"].words)}
