"""Inputs and outputs of a model file that are integers where the entry point has float32.

    feeds (float32) --integers_of--> the file's integers --floats_of--> results (float32)

The file itself holds the scales: real value = scale * (integer - zero_point). So every command
takes and returns the values of the original model, whatever the file's own tensors are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.spec import Array


@dataclass(frozen=True)
class IntegerTensor:
    """The scale and zero point that turn a tensor's integers into real values."""

    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def integers_of(self, values: Array) -> Array:
        """Return the nearest integers; values out of range become the least or the greatest."""
        info = np.iinfo(self.dtype)
        rounded = np.round(values.astype(np.float64) / self.scale) + self.zero_point
        return np.clip(np.nan_to_num(rounded), info.min, info.max).astype(self.dtype)

    def floats_of(self, integers: Array) -> Array:
        """Return the real values, in float32."""
        return ((integers.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)


def integer_tensors(
    details: Mapping[str, Mapping[str, Any]], dtypes: Mapping[str, str]
) -> dict[str, IntegerTensor]:
    """Return the tensors that are integers in the file and floats in the entry point, by name.

    details: of an interpreter, by tensor name. dtypes: those of the entry point, by name.
    """
    found = {}
    for name, detail in details.items():
        dtype, scale = np.dtype(detail["dtype"]), detail["quantization_parameters"]["scales"]
        if dtype.kind == "i" and dtypes.get(name, "").startswith("float") and len(scale) == 1:
            zero = detail["quantization_parameters"]["zero_points"]
            found[name] = IntegerTensor(dtype, float(scale[0]), int(zero[0]))
    return found
