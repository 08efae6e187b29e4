"""A SimpleRNN that reads a handwritten digit row by row.

Data: scikit-learn's `load_digits`, 1,797 real scans of 8x8 pixels (UCI Optical Recognition of
Handwritten Digits). Each scan is a sequence of 8 rows of 8 pixels, scaled from 0..16 to 0..1; a
quarter is held out.
Input "rows" (batch, time, 8) float32; output "digit" (batch, 10), probabilities.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

SEED = 8
UNITS = 128
EPOCHS = 60
BATCH = 64
HELD_OUT = 0.25

Floats = NDArray[np.float32]


class Stream(Protocol):
    """A run that remembers the recurrent states from one call to the next."""

    def step(self, x: Floats) -> Floats: ...


class Model(Protocol):
    """The model on any runtime."""

    def predict(self, x: Floats) -> Floats: ...

    def stream(self) -> Stream: ...


@dataclass(frozen=True, eq=False)
class Scans:
    """Scans and what they show."""

    images: Floats  # (scans, 8 rows, 8 pixels)
    labels: NDArray[np.int64]  # (scans,)


@cache
def scans() -> tuple[Scans, Scans]:
    """The scans to train on and those held out, every digit in the same share in both."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, digits = load_digits(return_X_y=True)
    images = np.asarray(pixels, dtype=np.float32).reshape(-1, 8, 8) / 16
    train, held, train_labels, held_labels = train_test_split(
        images, digits, test_size=HELD_OUT, random_state=SEED, stratify=digits
    )
    return Scans(train, train_labels), Scans(held, held_labels)


def build_model() -> "keras.Model":
    """Train on three quarters of the scans and print the accuracy on the rest."""
    import keras

    keras.utils.set_random_seed(SEED)
    rows = keras.Input(shape=(None, 8), name="rows")
    hidden = keras.layers.SimpleRNN(UNITS, name="rnn")(rows)
    output = keras.layers.Dense(10, activation="softmax", name="digit")(hidden)
    model = keras.Model(rows, output, name="digits")

    train, held = scans()
    steps = EPOCHS * -(-len(train.images) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(train.images, train.labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)

    accuracy = np.mean(model.predict(held.images, verbose=0).argmax(axis=-1) == held.labels)
    print(f"digits: {accuracy:.2%} of {len(held.labels)} held-out scans read right")
    return model


def samples() -> dict[str, Floats]:
    """Four held-out scans, (4, 8, 8)."""
    _, held = scans()
    return {"rows": held.images[:4]}


def evaluate(model: Model) -> dict[str, object]:
    """Read every held-out scan: the share read right, and each label given."""
    _, held = scans()
    labels = model.predict(held.images).argmax(axis=-1)
    return {"accuracy": float(np.mean(labels == held.labels)), "labels": labels.tolist()}
