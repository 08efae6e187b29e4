"""An ONNX file of a bundle and the files that it reads, as bytes that were checked.

A runtime receives these bytes and never the path, whose content may have changed since.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_deploy.bundle import Artifact, Bundle
from rnn_deploy.runtimes.external_data import external_contents


@dataclass(frozen=True)
class OnnxFile:
    """A checked ONNX file. path: for messages. external: the files that it reads, by name."""

    path: Path
    content: bytes
    external: Mapping[str, bytes]

    @contextmanager
    def copied(self) -> Iterator[str]:
        """Yield the path of a copy in a folder that no other user can write to."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            for name, content in {self.path.name: self.content, **self.external}.items():
                place = Path(folder) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            yield str(Path(folder) / self.path.name)


def read_onnx(bundle: Bundle, artifact: Artifact) -> OnnxFile:
    """Read and check an ONNX file and every file that it reads."""
    content = bundle.read(artifact.path)
    external = external_contents(bundle, artifact.path, content)
    return OnnxFile(bundle.root / artifact.path, content, external)


def ort_session(ort: Any, file: OnnxFile, settings: Any, **options: Any) -> Any:
    """Return ONNX Runtime's session of a file."""
    if not file.external:
        return ort.InferenceSession(file.content, settings, **options)
    in_memory = getattr(settings, "add_external_initializers_from_files_in_memory", None)
    if in_memory is None:  # onnxruntime before 1.23
        with file.copied() as path:
            return ort.InferenceSession(path, settings, **options)
    contents = list(file.external.values())
    in_memory(list(file.external), contents, [len(content) for content in contents])
    return ort.InferenceSession(file.content, settings, **options)
