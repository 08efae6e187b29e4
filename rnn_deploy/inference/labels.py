"""The class names of outputs: the most likely labels of each row or step."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_deploy.spec import Array


def top_labels(value: Array, labels: Sequence[str], count: int) -> Any:
    """Return the `count` largest values of the last axis with their labels, largest first.

    An output of one value with two labels is the probability of the second. For outputs over time
    the result is a list for each step.
    """
    if value.ndim > 1:
        return [top_labels(row, labels, count) for row in value]
    numbers = value.astype(np.float64)
    if len(labels) == 2 and value.shape == (1,):
        numbers = np.array([1 - numbers[0], numbers[0]])
    order = np.argsort(-numbers, kind="stable")[:count]
    return [{"label": labels[index], "value": float(numbers[index])} for index in order]
