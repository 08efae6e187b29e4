"""Find the files that an ONNX file reads (tensors with external data), without onnx.

Every field that cannot lead to a tensor is skipped. Field numbers are those of onnx.proto3.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.runtimes.protobuf import messages_in

LOCATION = b"location"  # the key that an entry of external_data has for its file
MOST_NESTED = 100
# Message --> field number --> message in that field.
CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 10: "tensor", 6: "graph", 11: "graph"},
        **{22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


def external_files(content: bytes) -> list[str]:
    """Return the paths that the tensors of an ONNX file name; raise ValueError if it is damaged."""
    if LOCATION not in content:
        return []
    return list(dict.fromkeys(_locations(memoryview(content), "model", 0)))


def external_contents(bundle: Bundle, path: str, content: bytes) -> dict[str, bytes]:
    """Return the files that an ONNX file of a bundle reads, by their name in it.

    path: of the ONNX file in the bundle. Raises BundleError for files outside of its folder, for
    files that the manifest does not list, and for files that differ from their record.
    """
    folder = PurePosixPath(path).parent
    found = {}
    for location in _safe_locations(f"{bundle.root}: '{path}'", content):
        found[location] = bundle.read(str(folder / location))
    return found


def refuse_external_outside(place: Path) -> None:
    """Raise InputError if an ONNX file without a bundle reads files outside of its folder."""
    for location in _safe_locations(str(place), place.read_bytes()):
        if any(p.is_symlink() for p in _down_to(place.parent, location)):
            raise _outside(str(place), location, "through a symbolic link")


def _safe_locations(where: str, content: bytes) -> list[str]:
    try:
        locations = external_files(content)
    except ValueError as error:
        raise InputError(
            "E-INPUT-MODEL-FILE", f"{where} is no ONNX file, or it is damaged: {error}"
        ) from error
    for location in locations:
        parts = PurePosixPath(location)
        drive = "\\" in location or ":" in location  # a path of Windows
        if not location or parts.is_absolute() or ".." in parts.parts or drive or "\0" in location:
            raise _outside(where, location, "outside of its folder")
    return locations


def _outside(where: str, location: str, how: str) -> BundleError:
    return BundleError(
        "E-BUNDLE-OUTSIDE",
        f"{where} reads '{location}' {how}; do not use this file, unless you know who wrote it",
    )


def _down_to(folder: Path, location: str) -> list[Path]:
    parts = PurePosixPath(location).parts
    return [folder.joinpath(*parts[: i + 1]) for i in range(len(parts))]


def _locations(data: memoryview, message: str, depth: int) -> Iterator[str]:
    if depth > MOST_NESTED:
        raise ValueError(f"its graphs are nested more than {MOST_NESTED} deep")
    if message == "entry":
        fields = dict(messages_in(data))
        if bytes(fields.get(1, b"")) == LOCATION:
            yield bytes(fields.get(2, b"")).decode("utf-8", "replace")
        return
    children = CHILDREN[message]
    for number, value in messages_in(data):
        if number in children:
            yield from _locations(value, children[number], depth + 1)
