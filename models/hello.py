"""A SimpleRNN that spells "hello": the smallest model whose answer needs its state.

After the first "l" comes "l", after the second comes "o": the same input letter, two answers,
so a runtime that drops or resets the state misspells the word.

Data: the word itself, one-hot over the alphabet "helo".
Input "letters" (batch, time, 4) float32; output "next_letter" (batch, time, 4), probabilities.
"""

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

SEED = 5
ALPHABET = "helo"
WORD = "hello"
UNITS = 8
STEPS = 200

Floats = NDArray[np.float32]


class Stream(Protocol):
    """A run that remembers the recurrent states from one call to the next."""

    def step(self, x: Floats) -> Floats: ...


class Model(Protocol):
    """The model on any runtime."""

    def predict(self, x: Floats) -> Floats: ...

    def stream(self) -> Stream: ...


def one_hot(*words: str) -> Floats:
    """Words of one length as (len(words), time, 4)."""
    indices = [[ALPHABET.index(letter) for letter in word] for word in words]
    return np.eye(len(ALPHABET), dtype=np.float32)[indices]


def most_likely(probabilities: Floats) -> str:
    """Probabilities of one word (1, time, 4) as the letters they favour."""
    return "".join(ALPHABET[i] for i in probabilities[0].argmax(axis=-1))


def build_model() -> "keras.Model":
    """Train on the one word until every next letter is all but certain."""
    import keras

    keras.utils.set_random_seed(SEED)
    letters = keras.Input(shape=(None, len(ALPHABET)), name="letters")
    hidden = keras.layers.SimpleRNN(UNITS, return_sequences=True, name="rnn")(letters)
    output = keras.layers.Dense(len(ALPHABET), activation="softmax", name="next_letter")(hidden)
    model = keras.Model(letters, output, name="hello")

    model.compile(keras.optimizers.Adam(0.05), "categorical_crossentropy", jit_compile=False)
    given, wanted = one_hot(WORD[:-1]), one_hot(WORD[1:])
    # One epoch of the same word over and over: an epoch costs Keras far more than a step.
    repeats = (STEPS, 1, 1)
    model.fit(np.tile(given, repeats), np.tile(wanted, repeats), batch_size=1, verbose=0)

    probabilities = model.predict(given, verbose=0)
    least = (probabilities * wanted).sum(axis=-1).min()
    print(f"hello: spells {WORD[0] + most_likely(probabilities)!r}, least sure letter {least:.3f}")
    return model


def samples() -> dict[str, Floats]:
    """Three words of five letters, (3, 5, 4)."""
    return {"letters": one_hot("hello", "eolll", "lleel")}


def evaluate(model: Model) -> dict[str, object]:
    """Spell from "h" one letter at a time, each answer fed back as the next input."""
    stream = model.stream()
    spelled = WORD[0]
    while len(spelled) < len(WORD):
        spelled += most_likely(stream.step(one_hot(spelled[-1])))
    return {"spelled": spelled}
