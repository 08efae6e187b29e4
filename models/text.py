"""A character language model: an embedding, two stacked SimpleRNNs, and the next character.

Data: the prose of Python's own help pages (`pydoc_data.topics`), lower-cased, one paragraph a
line, repeated paragraphs dropped, every tenth held out. The pages differ between versions of
Python; the alphabet is fixed, so the model's shape does not, but its weights and the bits per
character do: compare those only where they were trained and evaluated under one Python.
Input "characters" (batch, time) int32; output "next_character" (batch, time, 71), probabilities.
"""

import random
import string
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

SEED = 13
OTHER = "\N{REPLACEMENT CHARACTER}"  # stands for every character outside the alphabet
ALPHABET = "\n " + string.ascii_lowercase + string.digits + string.punctuation + OTHER
HELD_OUT_EVERY = 10

EMBEDDING = 32
UNITS = 128
WINDOW = 40
BATCH = 32
EPOCHS = 8
RATE = 5e-3

PROMPT = "the statement "
DRAWN = 120
TEMPERATURE = 0.5
PASSAGES = (8, 256)  # how many held-out passages `evaluate` measures, and their length

Floats = NDArray[np.float32]
Tokens = NDArray[np.int32]


class Stream(Protocol):
    """A run that remembers the recurrent states from one call to the next."""

    def step(self, x: Tokens) -> Floats: ...


class Model(Protocol):
    """The model on any runtime."""

    def predict(self, x: Tokens) -> Floats: ...

    def stream(self) -> Stream: ...


def encode(text: str) -> Tokens:
    """Characters as their places in the alphabet, (len(text),)."""
    index = {character: i for i, character in enumerate(ALPHABET)}
    return np.array([index.get(c, index[OTHER]) for c in text.lower()], dtype=np.int32)


def is_prose(block: str) -> bool:
    """Whether a block is sentences; titles, tables and most code end otherwise."""
    return block.endswith((".", ":")) and not block.startswith("+")


@cache
def corpus() -> tuple[Tokens, Tokens]:
    """The characters to train on and those held out."""
    from pydoc_data.topics import topics

    blocks = chain.from_iterable(topics[name].split("\n\n") for name in sorted(topics))
    # Long pages quote short ones whole: a repeat left in could be on both sides of the split.
    unique = dict.fromkeys(" ".join(block.lower().split()) for block in blocks)
    paragraphs = [block for block in unique if is_prose(block)]
    held = paragraphs[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    del paragraphs[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    return encode("\n".join(paragraphs)), encode("\n".join(held))


def windows(characters: Tokens, length: int) -> tuple[Tokens, Tokens]:
    """Cut into (windows, length) inputs, and the character that follows each as the targets."""
    count = (len(characters) - 1) // length
    inputs = characters[: count * length].reshape(count, length)
    targets = characters[1 : count * length + 1].reshape(count, length)
    return inputs, targets


def bits_per_character(probabilities: Floats, targets: Tokens) -> float:
    """Mean of -log2 p over the characters that did come next."""
    given = np.take_along_axis(probabilities, targets[..., None], axis=-1)
    return float(-np.log2(given.astype(np.float64)).mean())


def build_model() -> "keras.Model":
    """Train on nine paragraphs in ten and print the bits per character on the rest."""
    import keras

    keras.utils.set_random_seed(SEED)
    characters = keras.Input(shape=(None,), dtype="int32", name="characters")
    hidden = keras.layers.Embedding(len(ALPHABET), EMBEDDING, name="embedding")(characters)
    hidden = keras.layers.SimpleRNN(UNITS, return_sequences=True, name="rnn_1")(hidden)
    hidden = keras.layers.SimpleRNN(UNITS, return_sequences=True, name="rnn_2")(hidden)
    output = keras.layers.Dense(len(ALPHABET), activation="softmax", name="next_character")(hidden)
    model = keras.Model(characters, output, name="text")

    train, held = corpus()
    inputs, targets = windows(train, WINDOW)
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * -(-len(inputs) // BATCH))
    # On a CPU, XLA takes about as long to compile the loop over time as it then saves.
    model.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    model.fit(inputs, targets, batch_size=BATCH, epochs=EPOCHS, verbose=0)

    passages, following = windows(held, PASSAGES[1])
    bits = bits_per_character(model.predict(passages, verbose=0), following)
    print(f"text: {bits:.2f} bits per character on {following.size} held-out characters")
    return model


def samples() -> dict[str, Tokens]:
    """Three held-out passages of 32 characters, (3, 32)."""
    inputs, _ = windows(corpus()[1], 32)
    return {"characters": inputs[:3]}


def draw(probabilities: Floats, uniform: float) -> int:
    """The character at height `uniform` (0..1) of the sharpened cumulative distribution."""
    # float64, so that a runtime's rounding moves a boundary by far less than draws lie apart.
    sharpened = probabilities.astype(np.float64) ** (1 / TEMPERATURE)
    heights = np.cumsum(sharpened)
    return int(np.searchsorted(heights, uniform * heights[-1], side="right"))


def generate(stream: Stream) -> str:
    """The prompt as one chunk, then `DRAWN` characters, each fed back as the next input."""
    # The standard library promises one sequence per seed on every version; NumPy does not.
    uniforms = random.Random(SEED)
    text = PROMPT
    probabilities = stream.step(encode(text)[None])
    for _ in range(DRAWN):
        text += ALPHABET[draw(probabilities[0, -1], uniforms.random())]
        probabilities = stream.step(encode(text[-1])[None])
    return text


def evaluate(model: Model) -> dict[str, object]:
    """Bits per character on a few held-out passages, and a text drawn one character at a time."""
    count, length = PASSAGES
    inputs, targets = windows(corpus()[1], length)
    spread = np.linspace(0, len(inputs) - 1, count).astype(int)
    bits = bits_per_character(model.predict(inputs[spread]), targets[spread])
    return {"bits_per_character": bits, "generated": generate(model.stream())}
