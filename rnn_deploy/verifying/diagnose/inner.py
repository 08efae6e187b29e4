"""A copy of a bundle in which one entry point also outputs every layer's values.

    Bundle --inner_onnx, inner_tflite--> Bundle in a temporary folder, value names by layer

Every runtime that loads the original bundle can load the copy, also in a process of its own.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.store import record_of
from rnn_deploy.errors import InputError
from rnn_deploy.spec import STEP, STREAM, EntryPoint, TensorSpec, one_step
from rnn_deploy.verifying.diagnose import inner_onnx, inner_tflite

Inner = dict[str, list[str]]
Altering = Callable[[Path, str, Iterable[str]], tuple[bytes, Inner]]
FORMATS: dict[str, Altering] = {
    "onnx": inner_onnx.with_inner_values,
    "tflite": inner_tflite.with_inner_values,
}


def entry_point(bundle: Bundle, name: str) -> EntryPoint:
    """Return an entry point; STEP is the stream at one step, which has model files of its own."""
    if name == STEP:
        return one_step(bundle.manifest.entry(STREAM))
    return bundle.manifest.entry(name)


@contextmanager
def bundle_with_inner_values(
    bundle: Bundle, format: str, entry: str, layers: Iterable[str]
) -> Iterator[tuple[Bundle, Inner]]:
    """Yield the bundle with the inner values of `layers`, and the names of the values by layer.

    Raises InputError if the bundle has no model file of `format` for the entry point `entry`, or
    the inner values of that format cannot be read.
    """
    artifact = bundle.manifest.artifact(format, entry)
    if artifact is None or format not in FORMATS:
        raise InputError(
            "E-VERIFY-NO-INNER-VALUES",
            f"{bundle.root} has no {format} file of entry point '{entry}' whose layers can be"
            f" compared; that is possible for {' and '.join(FORMATS)}",
        )
    if artifact.weights is not None:
        bundle.checked(artifact.weights)
    place = bundle.checked(artifact.path)
    content, inner = FORMATS[format](place, entry, layers)
    point = entry_point(bundle, entry)
    known = {tensor.name for tensor in point.all_outputs}
    names = dict.fromkeys(name for of_layer in inner.values() for name in of_layer)
    extra = tuple(TensorSpec(name, (), "float32") for name in names if name not in known)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / artifact.path).write_bytes(content)
        manifest = replace(
            bundle.manifest,
            entries=(replace(point, outputs=(*point.outputs, *extra)),),
            artifacts=(replace(artifact, weights=None),),
            files=(record_of(Path(folder), artifact.path),),
        )
        yield Bundle(Path(folder), manifest, bundle.digest), inner
