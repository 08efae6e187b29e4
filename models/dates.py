"""Dates as people write them in six languages, to ISO 8601: an encoder, attention, a decoder.

Data: days of the calendar from 1950 to 2049, written in the ways of each language ("3. Mai 2021",
"May 3rd, 2021", "03/05/2021" in French order). English month names are from Python's calendar; the
system's locales are rarely installed, so the other names are here. Held out are days, not ways of
writing them: no held-out date occurs in the training in any language.
Inputs "written" and "iso" (batch, time) int32; outputs "next" (batch, time, 13), probabilities, and
"look" (batch, iso time, written time), how much each step looks at each character.
"""

import calendar
import datetime
import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

SEED = 19
FIRST, LAST = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
DATES, HELD = 5000, 300
MONTHS = {
    "en": tuple(name.lower() for name in calendar.month_name[1:]),
    "de": ("januar", "februar", "märz", "april", "mai", "juni", "juli", "august", "september",
           "oktober", "november", "dezember"),
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
           "octobre", "novembre", "décembre"),
    "es": ("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre",
           "octubre", "noviembre", "diciembre"),
    "it": ("gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto",
           "settembre", "ottobre", "novembre", "dicembre"),
    "nl": ("januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september",
           "oktober", "november", "december"),
}  # fmt: skip
WAYS = {
    "en": ("{month} {day}, {year}", "{month} {day}{th}, {year}", "{day} {month} {year}"),
    "de": ("{day}. {month} {year}", "{day:02}.{number:02}.{year}"),
    "fr": ("{day} {month} {year}", "{day:02}/{number:02}/{year}"),
    "es": ("{day} de {month} de {year}", "{day:02}/{number:02}/{year}"),
    "it": ("{day} {month} {year}", "{day:02}/{number:02}/{year}"),
    "nl": ("{day} {month} {year}", "{day:02}-{number:02}-{year}"),
}
PAD, START, END = 0, 1, 2
LETTERS = {*"0123456789 .,/-", *"dehnrst", *"".join(map("".join, MONTHS.values()))}
WRITTEN = "\0" + "".join(sorted(LETTERS))
ISO = "\0\1\2" + "0123456789"  # the hyphens say nothing
STEPS = 9  # eight digits and the end

EMBEDDING, UNITS = 24, 64
BATCH, EPOCHS, RATE = 64, 4, 8e-3

Ids = NDArray[np.int32]


class Model(Protocol):
    """The model on any runtime."""

    def generate(self, source: Any, **options: Any) -> Sequence[Any]: ...


def written(date: datetime.date, language: str, way: str) -> str:
    """Return a date as it is written in a language."""
    teen = 10 < date.day < 20
    th = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(date.day % 10, "th")
    month = MONTHS[language][date.month - 1]
    return way.format(day=date.day, month=month, number=date.month, year=date.year, th=th)


@cache
def pairs() -> tuple[list[tuple[str, datetime.date]], list[tuple[str, datetime.date]]]:
    """Return dates with how they are written: those to train on, and those held out."""
    draw = random.Random(SEED)
    days = draw.sample(range((LAST - FIRST).days + 1), DATES + HELD)

    def with_text() -> Iterator[tuple[str, datetime.date]]:
        for day in days:
            date = FIRST + datetime.timedelta(day)
            language = draw.choice(sorted(WAYS))
            yield written(date, language, draw.choice(WAYS[language])), date

    every = list(with_text())
    return every[:DATES], every[DATES:]


def source(texts: Sequence[str]) -> Ids:
    """Return texts as ids, padded to the longest."""
    ids = np.zeros((len(texts), max(map(len, texts))), np.int32)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = [WRITTEN.index(character) for character in text]
    return ids


def target(dates: Sequence[datetime.date]) -> Ids:
    """Return dates as ids, from the start to the end."""
    digits = [[ISO.index(digit) for digit in f"{date:%Y%m%d}"] for date in dates]
    return np.array([[START, *row, END] for row in digits], np.int32)


def iso(ids: Sequence[int]) -> str:
    """Return generated ids as an ISO date; ids that are no date as they are."""
    digits = "".join(ISO[i] if i > END else "?" for i in ids)
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"


def build_model() -> "keras.Model":
    """Train with teacher forcing, and print the share of held-out digits that are right."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(SEED)
    text = keras.Input((None,), dtype="int32", name="written")
    date = keras.Input((None,), dtype="int32", name="iso")
    x = layers.Embedding(len(WRITTEN), EMBEDDING, mask_zero=True, name="characters")(text)
    encoder = layers.GRU(UNITS // 2, return_sequences=True, return_state=True)
    encoded, *states = layers.Bidirectional(encoder, name="encoder")(x)
    state = layers.Concatenate(name="both")(states)
    y = layers.Embedding(len(ISO), EMBEDDING, name="digits")(date)
    y = layers.GRU(UNITS, return_sequences=True, name="decoder")(y, initial_state=state)
    context, look = layers.Attention(use_scale=True, name="look")(
        [y, encoded], return_attention_scores=True
    )
    y = layers.Concatenate(name="with_context")([y, context])
    y = layers.Dense(UNITS, activation="tanh", name="mixed")(y)
    y = layers.Dense(len(ISO), activation="softmax", name="next")(y)
    model = keras.Model([text, date], {"next": y, "look": look}, name="dates")

    train, held = pairs()
    given, wanted = source([t for t, _ in train]), target([d for _, d in train])
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * -(-len(given) // BATCH))
    training = keras.Model(model.inputs, y)
    training.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy",
        jit_compile=False,
    )  # fmt: skip
    training.fit([given, wanted[:, :-1]], wanted[:, 1:], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    ids = target([d for _, d in held])
    found = training.predict([source([t for t, _ in held]), ids[:, :-1]], verbose=0).argmax(-1)
    print(f"dates: {(found == ids[:, 1:]).mean():.1%} of {HELD} held-out dates' digits")
    return model


def samples() -> dict[str, Ids]:
    """Return three held-out dates: inputs "written" and "iso"."""
    held = pairs()[1][:3]
    return {
        "written": source([text for text, _ in held]),
        "iso": target([date for _, date in held])[:, :-1],
    }


def read(model: Model, texts: Sequence[str], **options: Any) -> list[str]:
    """Return the ISO dates that a model generates for texts."""
    limits = {"start": START, "end": END, "max_steps": STEPS}
    return [iso(x.ids) for x in model.generate({"written": source(texts)}, **limits, **options)]


def evaluate(model: Model) -> dict[str, object]:
    """Return the share of held-out dates that are exactly right, and all strings."""
    held = pairs()[1]
    dates = read(model, [text for text, _ in held])
    exact = np.mean([a == b.isoformat() for a, (_, b) in zip(dates, held, strict=True)])
    return {"exact": float(exact), "dates": dates}
