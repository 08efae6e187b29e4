"""Write Parquet files whole or not at all, even after a kill or a power failure."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnn_deploy.optional import require

FACTS = b"rnn_deploy"
UNFINISHED = ".unfinished"  # the ending of temporary names


def write_whole(place: Path, tables: Iterator[Any], facts: Mapping[str, Any]) -> None:
    """Write tables of one schema to a Parquet file, through a unique temporary file.

    facts: plain data that are stored in the file's metadata.
    """
    parquet = require("pyarrow.parquet")
    descriptor, name = tempfile.mkstemp(
        prefix=f".{place.name}.", suffix=UNFINISHED, dir=place.parent
    )
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            writer = None
            for table in tables:
                if writer is None:
                    metadata = {FACTS: json.dumps(dict(facts)).encode()}
                    schema = table.schema.with_metadata(metadata)
                    writer = parquet.ParquetWriter(file, schema, compression="zstd")
                writer.write_table(table.cast(writer.schema))
            assert writer is not None
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder permanent; systems that cannot open folders do so themselves."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def facts_in(place: Path) -> dict[str, Any] | None:
    """Return the facts of a file that `write_whole` wrote, None if it is another or damaged."""
    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        metadata = parquet.read_schema(place).metadata or {}
        facts = json.loads(metadata[FACTS])
    except (arrow.ArrowException, OSError, KeyError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of killed writers."""
    for path in folder.glob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)
