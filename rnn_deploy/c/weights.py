"""The weights of a model as constant arrays in C, each different one once."""

from dataclasses import dataclass, field

import numpy as np

from rnn_deploy.c.ir import Float
from rnn_deploy.c.names import Names

PER_LINE = 6


@dataclass(frozen=True)
class Matrix:
    """A matrix (rows, columns) by its name in C."""

    name: str
    rows: int
    columns: int


@dataclass
class WeightTable:
    """Arrays by name; equal ones share it."""

    names: Names = field(default_factory=Names)
    arrays: dict[str, Float] = field(default_factory=dict)
    _by_content: dict[tuple[tuple[int, ...], bytes], str] = field(default_factory=dict)

    def add(self, name: str, value: Float) -> str:
        """The identifier of an array."""
        value = np.ascontiguousarray(value, np.float32)
        key = (value.shape, value.tobytes())
        if key not in self._by_content:
            identifier = "model_" + self.names.of(("weight", name, len(self.arrays)), name)
            self._by_content[key] = identifier
            self.arrays[identifier] = value
        return self._by_content[key]

    def matrix(self, name: str, value: Float) -> Matrix:
        """A matrix for `model_product`: one row for each input."""
        return Matrix(self.add(name, value), *value.shape)

    @property
    def bytes(self) -> int:
        return sum(value.nbytes for value in self.arrays.values())

    def declarations(self) -> str:
        """The arrays as other files see them."""
        return "".join(
            f"extern const float {name}[{value.size}];\n" for name, value in self.arrays.items()
        )

    def definitions(self) -> str:
        """The arrays with their values, exact: in C's hexadecimal form."""
        return "\n".join(
            f"const float {name}[{value.size}] = {{\n{_rows(value)}}};\n"
            for name, value in self.arrays.items()
        )


def _rows(value: Float) -> str:
    words = [_word(number) for number in value.reshape(-1).tolist()]
    lines = (words[i : i + PER_LINE] for i in range(0, len(words), PER_LINE))
    return "".join(f"    {', '.join(line)},\n" for line in lines)


def _word(number: float) -> str:
    """A float32 as a C constant, without the zeros that Python writes at the end."""
    mantissa, _, exponent = number.hex().partition("p")
    head, _, digits = mantissa.partition(".")
    digits = digits.rstrip("0")
    return f"{head}{'.' + digits if digits else ''}p{int(exponent)}f"
