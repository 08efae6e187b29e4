"""The models by theme: every option of a recurrent layer, and the layers around it.

Each case builds a Keras model; `checking` makes its weights random. Themes are the rows of the
support table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rnn_deploy.conformance import custom_cells, masks, models
from rnn_deploy.conformance.custom_cells import in_layer, mixed_cells
from rnn_deploy.conformance.layers import (
    Build,
    activated,
    bidirectional,
    bidirectional_cells,
    bidirectional_unlike,
    conv_lstm,
    list_of_cells,
    single,
    stacked,
    stacked_cells,
)
from rnn_deploy.conformance.masks import masked
from rnn_deploy.keras.tensorflow import keras, tf

KINDS = ("SimpleRNN", "GRU", "LSTM")
AS_ATTRIBUTE = (
    *("tanh", "linear", "relu", "sigmoid", "hard_sigmoid", "softsign", "softplus", "elu"),
    *("leaky_relu", "celu"),
)
AS_NODES = (
    *("selu", "relu6", "silu", "mish", "exponential", "gelu", "hard_silu", "hard_tanh"),
    *("log_sigmoid", "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus"),
)
TRACED = ("softmax", "log_softmax", "sparse_plus", "sparse_sigmoid", "sparsemax")
GROWING = ("exponential", "softplus", "squareplus", "sparse_plus", "log_sigmoid")
BOTH = ("onnx", "tflite")


@dataclass(frozen=True)
class ConformanceCase:
    """A model to export.

    native: whether auto chooses ONNX's own operators; None if only for some layers or for one
    entry point. chunked: whether chunks give the same outputs as the whole sequence. scale: the
    factor of the random weights, small enough that errors do not grow from step to step. formats:
    the formats that support it.
    """

    name: str
    build: Build
    native: bool | None = True
    chunked: bool = True
    scale: float = 0.3
    formats: tuple[str, ...] = BOTH


# The options that are tested with every kind of layer.
OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("last", {}),
    ("cell", {"cell": True, "return_sequences": True, "return_state": True}),
    ("no-bias", {"use_bias": False, "return_sequences": True}),
    ("states", {"return_sequences": True, "return_state": True}),
    ("backwards", {"go_backwards": True, "return_sequences": True}),
    ("backwards-last", {"go_backwards": True, "return_state": True}),
    ("relu", {"activation": "relu", "return_sequences": True}),
    ("one-unit", {"units": 1, "return_sequences": True}),
    ("dropout", {"dropout": 0.5, "recurrent_dropout": 0.5, "return_sequences": True}),
    ("one-step", {"shape": (1, 3), "return_sequences": True}),
)
GATED = (
    ("GRU-before", "GRU", {"reset_after": False}),
    ("GRU-before-no-bias", "GRU", {"reset_after": False, "use_bias": False}),
    ("GRU-hard-gates", "GRU", {"recurrent_activation": "hard_sigmoid"}),
    ("GRU-before-cell", "GRU", {"cell": True, "reset_after": False}),
    ("LSTM-hard-gates", "LSTM", {"recurrent_activation": "hard_sigmoid", "activation": "softsign"}),
    ("LSTM-leaky", "LSTM", {"activation": "leaky_relu"}),
    ("LSTM-tanh-gates", "LSTM", {"recurrent_activation": "tanh"}),
)
MASKED = (
    ("sequence", {"return_sequences": True, "return_state": True}),
    ("last", {"return_state": True}),
    ("zero", {"return_sequences": True, "zero_output_for_mask": True}),
    ("zero-last", {"zero_output_for_mask": True}),
    ("backwards", {"return_sequences": True, "go_backwards": True}),
    ("backwards-zero-last", {"zero_output_for_mask": True, "go_backwards": True}),
)
OBJECTS = (
    ("LeakyReLU-0.2", lambda: keras.layers.LeakyReLU(negative_slope=0.2), True),
    ("LeakyReLU-0.3", lambda: keras.layers.LeakyReLU(negative_slope=0.3), False),
    ("ReLU-max", lambda: keras.layers.ReLU(max_value=1.0), False),
    ("ELU-half", lambda: keras.layers.ELU(0.5), False),
    ("PReLU", lambda: keras.layers.PReLU(), False),
    ("Softmax", lambda: keras.layers.Softmax(), False),
    ("ops-gelu", lambda: keras.ops.gelu, False),
    ("tf-sin", lambda: tf.sin, False),
    ("tf-tanh", lambda: tf.tanh, True),
)


def _layers() -> Iterator[ConformanceCase]:
    for kind in KINDS:
        for name, options in OPTIONS:
            chunked = not options.get("go_backwards", False)
            yield ConformanceCase(
                f"{kind}-{name}", single(kind=kind, **options), chunked=chunked, scale=0.2
            )
    for name, kind, options in GATED:
        yield ConformanceCase(
            name, single(kind=kind, return_sequences=True, return_state=True, **options)
        )
    yield ConformanceCase("unroll", single(shape=(4, 3), unroll=True, return_sequences=True))
    for kind, scale in (("SimpleRNN", 0.07), ("GRU", 0.1), ("LSTM", 0.1)):
        wide = single(shape=(100, 8), units=128, kind=kind, return_sequences=True)
        native = None if kind == "SimpleRNN" else True  # Scan is faster, but not in a stream
        yield ConformanceCase(f"{kind}-100-steps-128-units", wide, native=native, scale=scale)
    wide = single(shape=(None, 40), units=70, return_sequences=True)
    yield ConformanceCase("wide", wide, native=None, scale=0.1)
    yield ConformanceCase("stacked", stacked)
    for kind in KINDS:
        yield ConformanceCase(f"stateful-{kind}", models.stateful(kind))


def _activations() -> Iterator[ConformanceCase]:
    for names, native in ((AS_ATTRIBUTE, True), (AS_NODES, False), (TRACED, False)):
        for name in names:
            scale = 0.1 if name in GROWING else 0.3
            build = single(activation=name, return_sequences=True)
            yield ConformanceCase(f"activation-{name}", build, native=native, scale=scale)
    for name, make, native in OBJECTS:
        yield ConformanceCase(f"activation-{name}", activated(make), native=native)
    gates = single(kind="GRU", recurrent_activation="silu")
    yield ConformanceCase("GRU-silu-gates", gates, native=False, scale=0.05)
    softmax = single(kind="GRU", recurrent_activation="softmax", return_sequences=True)
    yield ConformanceCase("GRU-softmax-gates", softmax, native=False)
    leaky = activated(lambda: keras.layers.LeakyReLU(negative_slope=0.1), "LSTM")
    yield ConformanceCase("LSTM-LeakyReLU-0.1", leaky, native=False)
    for name in ("gelu", "celu", "sparsemax", "soft_shrink", "hard_silu", "squareplus"):
        yield ConformanceCase(f"head-{name}", models.headed(name))


def _cells() -> Iterator[ConformanceCase]:
    yield ConformanceCase("list-of-cells", list_of_cells(return_sequences=True, return_state=True))
    yield ConformanceCase("list-of-cells-last", list_of_cells())
    yield ConformanceCase(
        "list-of-cells-backwards", list_of_cells(go_backwards=True), chunked=False
    )
    yield ConformanceCase("stacked-cells", stacked_cells)
    yield ConformanceCase("mixed-cells", mixed_cells(return_sequences=True), native=None)
    yield ConformanceCase("mixed-cells-last", mixed_cells(return_state=True), native=None)


def _custom_cells() -> Iterator[ConformanceCase]:
    for cell in ("echo", "peephole"):
        steps = {"return_sequences": True, "return_state": True}
        yield ConformanceCase(f"{cell}", in_layer(cell, **steps), native=False)
        yield ConformanceCase(f"{cell}-last", in_layer(cell), native=False)
        backwards = in_layer(cell, go_backwards=True, return_sequences=True)
        yield ConformanceCase(f"{cell}-backwards", backwards, native=False, chunked=False)
        both = in_layer(cell, both=True, return_sequences=True)
        yield ConformanceCase(f"{cell}-both", both, native=False, chunked=False)
        # A masked step repeats the previous output, which an echo's stream does not know.
        repeats = cell == "peephole"
        for name in ("steps", "last"):
            build = in_layer(cell, masked=True, return_sequences=name == "steps")
            yield ConformanceCase(f"{cell}-masked-{name}", build, native=False, chunked=repeats)
        zero = in_layer(cell, masked=True, zero_output_for_mask=True, return_sequences=True)
        yield ConformanceCase(f"{cell}-masked-zero", zero, native=False)
    yield ConformanceCase(
        "learned-start", in_layer("learned", return_sequences=True), False, chunked=False
    )


def _conv() -> Iterator[ConformanceCase]:
    for rank in (1, 2, 3):
        build = conv_lstm(rank, return_sequences=True, return_state=True)
        yield ConformanceCase(f"ConvLSTM{rank}D", build, native=False, scale=0.2)
    same = conv_lstm(2, padding="same", go_backwards=True)
    yield ConformanceCase("ConvLSTM2D-same-backwards", same, native=False, chunked=False, scale=0.2)
    yield ConformanceCase("ConvLSTM1D-masked", masks.masked_conv, native=False, scale=0.2)


def _masks() -> Iterator[ConformanceCase]:
    for kind in KINDS:
        for name, options in MASKED:
            chunked = not options.get("go_backwards", False)
            yield ConformanceCase(
                f"masked-{kind}-{name}", masked(kind=kind, **options), chunked=chunked
            )
    unroll = masked(time=5, kind="GRU", unroll=True, go_backwards=True, return_sequences=True)
    yield ConformanceCase("masked-unroll-backwards", unroll, chunked=False)
    tokens = masked(embedding=True, kind="LSTM", return_sequences=True)
    yield ConformanceCase("masked-tokens", tokens)
    yield ConformanceCase("masked-stacked", masked(stages=3, kind="LSTM"))
    for mode in ("concat", "sum", None):
        both = masks.masked_bidirectional(mode)
        yield ConformanceCase(f"masked-bidirectional-{mode}", both, chunked=False)
    yield ConformanceCase("masked-cells", masks.masked_cells(return_sequences=True))
    for name, options in (("", {"return_sequences": True}), ("-last", {})):
        back = masks.masked_cells(go_backwards=True, **options)
        yield ConformanceCase(f"masked-cells-backwards{name}", back, chunked=False)
        decoder = masks.masked_decoder(**options)
        yield ConformanceCase(f"masked-initial-state{name}", decoder, chunked=False)
    yield ConformanceCase("masked-cells-zero", masks.masked_cells(zero_output_for_mask=True))
    yield ConformanceCase("mask-as-input", masks.mask_as_input)


def _both() -> Iterator[ConformanceCase]:
    modes = ("concat", "sum", "mul", "ave", None)
    for mode in modes:
        yield ConformanceCase(f"bidirectional-{mode}", bidirectional(mode), chunked=False)
        last = bidirectional(mode, "LSTM", sequences=False)
        yield ConformanceCase(f"bidirectional-last-{mode}", last, chunked=False)
    for kind in ("GRU", "LSTM"):
        build = bidirectional("concat", kind, return_state=True)
        yield ConformanceCase(f"bidirectional-{kind}", build, chunked=False)
    odd = bidirectional("sum", "LSTM", activation="gelu")
    yield ConformanceCase("bidirectional-gelu", odd, native=False, chunked=False)
    yield ConformanceCase("bidirectional-unlike", bidirectional_unlike, chunked=False)
    yield ConformanceCase("bidirectional-cells", bidirectional_cells, chunked=False)


def _steps() -> Iterator[ConformanceCase]:
    for kind in ("dense", "norm", "model", "conv"):
        yield ConformanceCase(f"time-distributed-{kind}", models.time_distributed(kind))
    for kind in ("layer", "both", "model"):
        yield ConformanceCase(f"time-distributed-recurrent-{kind}", models.recurrent_steps(kind))
    yield ConformanceCase("time-distributed-masked", masks.masked_within_steps)


def _around() -> Iterator[ConformanceCase]:
    yield ConformanceCase("sequential", models.sequential)
    for kind in KINDS:
        build = models.encoder_decoder(kind)
        yield ConformanceCase(f"encoder-decoder-{kind}", build, chunked=False)
        fixed = models.encoder_decoder(kind, 5)
        yield ConformanceCase(f"encoder-decoder-fixed-{kind}", fixed, chunked=False)
        yield ConformanceCase(f"sharing-steps-{kind}", models.sharing_steps(kind), chunked=False)
    yield ConformanceCase("state-as-input", models.state_as_input, chunked=False)
    yield ConformanceCase("shared-twice", models.shared_twice, chunked=False)
    yield ConformanceCase("nested", models.nested)
    yield ConformanceCase("tokens", models.tokens)
    yield ConformanceCase("around", models.around)
    yield ConformanceCase("dictionaries", models.dictionaries)
    yield ConformanceCase("subclassed", custom_cells.subclassed, chunked=False)
    yield ConformanceCase("from-keras-file", models.through_file(".keras"))
    yield ConformanceCase("from-h5-file", models.through_file(".h5"))
    yield ConformanceCase("fixed-lengths", models.several_lengths(8, 11), chunked=False)
    yield ConformanceCase("fixed-equal-lengths", models.several_lengths(8, 8))
    yield ConformanceCase("fixed-beside-open", models.several_lengths(None, 11), chunked=False)
    yield ConformanceCase("looking-back", models.looking_back, chunked=False)
    yield ConformanceCase("pooled", models.pooled, chunked=False)
    for kind in ("heads", "heads-looking-back", "additive"):
        yield ConformanceCase(f"attention-{kind}", models.attended(kind), chunked=False)
    yield ConformanceCase("attention-scores", models.scores, chunked=False)
    yield ConformanceCase("chosen", models.chosen)
    yield ConformanceCase("shifted-tokens", models.shifted_tokens, chunked=False)
    yield ConformanceCase("partly-used", models.partly_used)


def _precisions() -> Iterator[ConformanceCase]:
    for policy in ("mixed_float16", "mixed_bfloat16"):
        yield ConformanceCase(policy, models.in_policy(policy))
    onnx: tuple[str, ...] = ("onnx",)
    yield ConformanceCase("float64", models.in_policy("float64"), native=False, formats=onnx)
    echo = in_layer("echo", return_sequences=True, dtype="float64")
    yield ConformanceCase("float64-own-cell", echo, native=False, formats=onnx)
    for name in ("selu", "softplus", "hard_sigmoid", "softsign", "soft_shrink"):
        build = single(kind="GRU", activation=name, return_sequences=True, dtype="float64")
        yield ConformanceCase(f"float64-{name}", build, native=False, scale=0.2, formats=onnx)


THEMES: dict[str, tuple[ConformanceCase, ...]] = {
    "SimpleRNN, GRU, LSTM and their options": tuple(_layers()),
    "activations": tuple(_activations()),
    "cells and lists of cells": tuple(_cells()),
    "cells of your own": tuple(_custom_cells()),
    "ConvLSTM": tuple(_conv()),
    "masks": tuple(_masks()),
    "Bidirectional": tuple(_both()),
    "TimeDistributed": tuple(_steps()),
    "models around them": tuple(_around()),
    "other precisions": tuple(_precisions()),
}
CASES = tuple(case for cases in THEMES.values() for case in cases)
