"""The weights of a model as constant arrays in C; equal ones are written once."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.c.ir import Float
from rnn_deploy.c.names import Names
from rnn_deploy.c.storage import FLOAT32, TYPES, stored

PER_LINE = {"float32": 6, "uint16": 12, "int8": 20}
Numbers = NDArray[np.generic]


@dataclass(frozen=True)
class Matrix:
    """A matrix (rows, columns) by its name in C.

    kind: the end of the names of functions that read it. scale: their additional argument in C: the
    factor of half floats, the scales of integers, or nothing.
    """

    name: str
    rows: int
    columns: int
    kind: str = ""
    scale: str = ""

    @property
    def arguments(self) -> str:
        """Return the arguments for a function that reads it."""
        return f"{self.name}, {self.scale}" if self.scale else self.name


@dataclass
class WeightTable:
    """Arrays by name; equal ones share a name. storage: how matrices are stored."""

    storage: str = FLOAT32
    names: Names = field(default_factory=Names)
    arrays: dict[str, Numbers] = field(default_factory=dict)
    float_bytes: int = 0  # the bytes of the arrays in float32
    _by_content: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)

    def add(self, name: str, value: Float) -> str:
        """Return the identifier of an array of float32."""
        value = np.ascontiguousarray(value, np.float32)
        return self._add(name, value, value.nbytes)

    def matrix(self, name: str, value: Float) -> Matrix:
        """Return a matrix for `model_product`: one row for each input."""
        kept = stored(name, value, self.storage)
        scale = "" if kept.factor is None else f"{kept.factor.hex()}f"
        if kept.scales is not None:
            scale = self._add(f"{name}_scales", kept.scales, 0)
        identifier = self._add(name, kept.numbers, 4 * kept.numbers.size)
        rows, columns = value.shape
        return Matrix(identifier, rows, columns, kept.kind, scale)

    def _add(self, name: str, value: Numbers, float_bytes: int) -> str:
        key = (value.dtype.name, value.shape, value.tobytes())
        if key not in self._by_content:
            identifier = "model_" + self.names.of(("weight", name, len(self.arrays)), name)
            self._by_content[key] = identifier
            self.arrays[identifier] = value
            self.float_bytes += float_bytes
        return self._by_content[key]

    @property
    def bytes(self) -> int:
        return sum(value.nbytes for value in self.arrays.values())

    def declarations(self) -> str:
        """Return the declarations of the arrays for other files."""
        return "".join(f"extern {_head(name, value)};\n" for name, value in self.arrays.items())

    def definitions(self) -> str:
        """Return the definitions of the arrays, exact: floats in C's hexadecimal form."""
        return "\n".join(
            f"{_head(name, value)} = {{\n{_rows(value)}}};\n" for name, value in self.arrays.items()
        )


def _head(name: str, value: Numbers) -> str:
    return f"const {TYPES[value.dtype.name]} {name}[{value.size}]"


def _rows(value: Numbers) -> str:
    numbers = value.reshape(-1).tolist()
    words = [_word(number) if isinstance(number, float) else str(number) for number in numbers]
    width = PER_LINE[value.dtype.name]
    lines = (words[i : i + width] for i in range(0, len(words), width))
    return "".join(f"    {', '.join(line)},\n" for line in lines)


def _word(number: float) -> str:
    """Return a float32 as a C constant, without trailing zeros."""
    mantissa, _, exponent = number.hex().partition("p")
    head, _, digits = mantissa.partition(".")
    digits = digits.rstrip("0")
    return f"{head}{'.' + digits if digits else ''}p{int(exponent)}f"
