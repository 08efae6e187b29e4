"""Compare the weights inside a bundle's model files with the digests that the export wrote."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np

from rnn_deploy.bundle import Artifact, Bundle
from rnn_deploy.bundle.weights import (
    EXTENSION,
    READABLE,
    Content,
    Read,
    StoredTensor,
    mapped,
    tensors_in,
)
from rnn_deploy.errors import BundleError
from rnn_deploy.spec import Array
from rnn_deploy.verifying.diagnose.weight_relation import is_altered

CHECK = "weights"
Explain = Callable[[str, Array], str]  # takes a tensor's name and values, returns its change
MOST_NAMED = 4
FEWEST = 8  # values: smaller tensors may be constants of the format


@dataclass(frozen=True)
class ChangedWeights:
    """A file whose weights differ from those of the export. message: the tensors, in words."""

    file: str
    message: str


def changed_weights(
    bundle: Bundle,
    explain: Explain = lambda name, values: "",
    formats: Collection[str] | None = None,
    *,
    every: bool = False,
) -> Iterator[ChangedWeights]:
    """Yield the files whose weights were changed since the export, each once.

    formats: only files of these formats. every: also yield weights that have the export's digest,
    or none, if `explain` says that they differ from the model's. Without `every`, a bundle of an
    older rnn-deploy, which has no digests, yields nothing.
    """
    extension = bundle.manifest.extensions.get(EXTENSION)
    known = extension.data if extension is not None and isinstance(extension.data, dict) else {}

    @cache
    def read(path: str) -> Content:
        return mapped(bundle.checked(path))

    by_file: dict[str, dict[str, str]] = {}
    paths = {a.path: a for a in bundle.manifest.artifacts if a.path in known or every}
    for path, artifact in paths.items():
        if formats is None or artifact.format in formats:
            found = _changes(artifact, _digests(known.get(path)), read, explain)
            if every and bundle.manifest.quantisation is None:
                found = chain(found, _unlike_the_model(artifact, read, explain))
            for file, tensor, change in found:
                by_file.setdefault(file, {}).setdefault(tensor, change)
    for file, changes in by_file.items():
        named = [f"{tensor} {change}" for tensor, change in changes.items()][:MOST_NAMED]
        more = len(changes) - len(named)
        yield ChangedWeights(file, "; ".join(named) + (f"; and {more} more" if more else ""))


def _changes(
    artifact: Artifact, known: dict[str, str], read: Read, explain: Explain
) -> Iterator[tuple[str, str, str]]:
    try:
        tensors = {tensor.name: tensor for tensor in tensors_in(artifact, read)}
    except (ValueError, BundleError) as error:
        yield artifact.path, "its weights", f"cannot be read: {error}"
        return
    for name, digest in known.items():
        tensor = tensors.get(name)
        if tensor is None:
            yield artifact.path, f"'{name}'", "is missing"
        elif tensor.digest != digest:
            yield tensor.file, f"'{name}'", _words(tensor, explain)
    for name in tensors.keys() - known.keys() if known else ():
        yield artifact.path, f"'{name}'", "was added after the export"


def _unlike_the_model(
    artifact: Artifact, read: Read, explain: Explain
) -> Iterator[tuple[str, str, str]]:
    """Yield the tensors that have a weight of the Keras model with other values."""
    if artifact.format not in READABLE:
        return
    for tensor in tensors_in(artifact, read):
        values = tensor.values
        if values is None or values.dtype.kind != "f" or values.size < FEWEST:
            continue
        words = explain(tensor.name, values) if np.ptp(values) else ""
        if is_altered(words):
            yield tensor.file, f"'{tensor.name}'", f"= {words}"


def _words(tensor: StoredTensor, explain: Explain) -> str:
    values = tensor.values
    words = "" if values is None else explain(tensor.name, values)
    return f"is not what the export wrote: {words}" if words else "is not what the export wrote"


def _digests(known: object) -> dict[str, str]:
    return known if isinstance(known, dict) else {}
