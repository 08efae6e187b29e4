"""The memory that a device has: `--budget ram=64k,flash=256k`."""

import re
from dataclasses import dataclass

from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import FormatOption

RAM, FLASH = "ram", "flash"
OPTION = FormatOption(
    "budget",
    "",
    "Memory of the device: the arena must fit in RAM, the model file in flash. k is 1,024 B, M is"
    " 1,024 k.",
    metavar="ram=N,flash=N",
)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}


@dataclass(frozen=True)
class MemoryBudget:
    """The most bytes of arena (ram) and of one model file (flash); None for no limit."""

    ram: int | None = None
    flash: int | None = None

    def __bool__(self) -> bool:
        return self.ram is not None or self.flash is not None

    def __str__(self) -> str:
        limits = ((RAM, self.ram), (FLASH, self.flash))
        return ", ".join(f"{name} {limit:,} B" for name, limit in limits if limit is not None)

    def fits(self, arena: int, flash: int) -> bool:
        """Return whether a file of so many bytes, with such an arena, fits."""
        used = ((arena, self.ram), (flash, self.flash))
        return all(limit is None or size <= limit for size, limit in used)


def budget_of(text: str) -> MemoryBudget:
    """Return the budget that an option's value describes; InputError if it cannot be read."""
    limits: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(rf"({RAM}|{FLASH})=(\d+)([kKmM]?)[bB]?", part)
        if found is None or found[1] in limits or not int(found[2]):
            raise InputError(
                "E-EXPORT-BUDGET",
                f"--budget {text}: cannot read '{part}'; expected each of {RAM} and {FLASH} at most"
                f" once, with a number of bytes, such as {RAM}=64k,{FLASH}=256k",
            )
        limits[found[1]] = int(found[2]) * _UNITS[found[3].lower()]
    return MemoryBudget(**limits)
