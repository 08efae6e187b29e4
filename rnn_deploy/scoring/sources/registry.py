"""The formats of input files by the ending of their names."""

from collections.abc import Callable
from pathlib import Path

from rnn_deploy.errors import InputError
from rnn_deploy.scoring.layout import Inputs
from rnn_deploy.scoring.sources.base import Source
from rnn_deploy.scoring.sources.csv_files import CsvSource
from rnn_deploy.scoring.sources.json_lines import JsonLinesSource
from rnn_deploy.scoring.sources.numpy_files import NumpySource
from rnn_deploy.scoring.sources.parquet import ParquetSource

SOURCES: dict[str, Callable[[Path, Inputs], Source]] = {
    ".parquet": ParquetSource,
    ".npz": NumpySource,
    ".npy": NumpySource,
    ".jsonl": JsonLinesSource,
    ".csv": CsvSource,
}
HIDDEN = (".", "_")  # Spark, pyarrow and others ignore such files too


def open_source(place: Path, inputs: Inputs) -> Source:
    """Open an input file; raise InputError if it does not fit the model."""
    ending = place.suffix.lower()
    if ending not in SOURCES:
        raise InputError(
            "E-DATA-ENDING", f"{place}: expected a file that ends in {', '.join(SOURCES)}"
        )
    return SOURCES[ending](place, inputs)


def input_files(places: list[Path]) -> list[Path]:
    """Return the files in order, those of a folder by name; raise InputError without a file."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = (path for path in place.rglob("*") if path.suffix.lower() in SOURCES)
            visible = [path for path in inside if not _is_hidden(path.relative_to(place))]
            if not visible:
                raise InputError(
                    "E-DATA-NOT-FOUND",
                    f"{place}: has no file that ends in {', '.join(SOURCES)}",
                )
            found += sorted(visible)
        elif place.is_file():
            found.append(place)
        else:
            raise InputError("E-DATA-NOT-FOUND", f"{place}: no such file or folder")
    return list(dict.fromkeys(found))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(HIDDEN) for part in path.parts)
