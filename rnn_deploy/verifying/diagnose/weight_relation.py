"""Describe how a stored tensor differs from the weights of its Keras layer.

Formats store weights in different orders, so sorted values are compared: those of one weight, or
those of the same weight in both directions of a Bidirectional layer.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.distance import Floats

Weights = Mapping[str, Array]  # by LAYER/WEIGHT
_ALTERED = re.compile(r"^-?[\d.e+-]+ x |rounded to b?float16$| \+ -?[\d.e+-]+$")
FEW = 8  # so few differing values are named as wrong values; more are another weight


def relation(tensor: str, values: Array, weights: Weights) -> str:
    """Return how a weight was changed, for instance "1.01 x recurrent_kernel"; empty if unknown."""
    found = np.sort(values.astype(np.float64).ravel())
    best: tuple[int, str] | None = None
    for name, weight in _candidates(tensor, weights):
        true = np.sort(weight.astype(np.float64).ravel())
        if true.shape != found.shape or not true.size:
            continue
        words = _same_everywhere(name, found, true)
        if words:
            return words
        wrong = _extra(found, true)
        if len(wrong) <= FEW and (best is None or len(wrong) < best[0]):
            right = _extra(true, found)
            pairs = zip(wrong, right, strict=True)
            text = ", ".join(f"{a:.7g} instead of {b:.7g}" for a, b in pairs)
            best = len(wrong), f"{name} with {len(wrong)} other values: {text}"
    return "" if best is None else best[1]


def is_altered(words: str) -> bool:
    """Return whether the words of `relation` can only mean an altered weight.

    A multiple, a sum and coarser numbers do, even for a tensor that may not be a weight.
    """
    return bool(_ALTERED.search(words))


def _same_everywhere(name: str, found: Floats, true: Floats) -> str:
    if np.array_equal(found, true):
        return f"the values of {name} in another order"
    for digits, rounded in (("float16", _float16(true)), ("bfloat16", _bfloat16(true))):
        if np.array_equal(found, np.sort(rounded)):
            return f"{name} rounded to {digits}"
    if not found.any():
        return f"zeros instead of {name}"
    length = float(true @ true)
    for wanted in (true, true[::-1]):
        factor = float(found @ wanted) / length if length else 0.0
        if factor and np.allclose(found, factor * wanted, rtol=1e-5, atol=1e-7 * abs(factor)):
            return f"{factor:.6g} x {name}"
    shift = float(np.mean(found - true))
    if np.allclose(found, true + shift, rtol=1e-5, atol=1e-6 * abs(shift)):
        return f"{name} + {shift:.6g}"
    return ""


def _candidates(tensor: str, weights: Weights) -> Iterator[tuple[str, Array]]:
    """Yield the weights of the layer that a tensor names; of all layers if it names none."""
    layer = tensor.partition("/")[0]
    own = {n: w for n, w in weights.items() if n.partition("/")[0] == layer} or weights
    short = {name: name.rpartition("/")[2] for name in own}
    for name, weight in own.items():
        yield short[name] if own is not weights else name, weight
    for end in dict.fromkeys(short.values()):
        alike = [own[name].ravel() for name in own if short[name] == end]
        if len(alike) > 1:
            yield f"{end} of both directions", np.concatenate(alike)


def _extra(these: Floats, others: Floats) -> list[float]:
    """Return the sorted values of `these` that `others` lacks, with their surplus counts."""
    values, counts = np.unique(these, return_counts=True)
    known, there = np.unique(others, return_counts=True)
    of = dict(zip(known.tolist(), there.tolist(), strict=True))
    extra: list[float] = []
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        extra += [value] * max(0, count - of.get(value, 0))
    return extra


def _float16(values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float64)


def _bfloat16(values: Floats) -> Floats:
    cut = values.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return cut.view(np.float32).astype(np.float64)
