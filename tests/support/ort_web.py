"""onnxruntime-web for tests: from build/, or else from npm; without both, tests are skipped."""

import functools
from pathlib import Path

import pytest

from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.runtimes.ort_web.npm_package import MODULE, WASM, ort_web_files

FOLDER = Path(__file__).parents[2] / "build" / "onnxruntime-web"


@functools.cache
def _why_missing():
    """Fetch the files into the folder; return why that is not possible, empty if it is."""
    if all((FOLDER / name).is_file() for name in (MODULE, WASM)):
        return ""
    try:
        files = ort_web_files()
    except RuntimeUnavailableError as error:
        return error.message
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in ((MODULE, files.module), (WASM, files.wasm)):
        draft = FOLDER / f"{name}.new"
        draft.write_bytes(content)
        draft.replace(FOLDER / name)
    return ""


def ort_web_folder():
    """Return the folder with onnxruntime-web as text, or skip the test."""
    why = _why_missing()
    if why:
        pytest.skip(f"onnxruntime-web is not here: {why}")
    return str(FOLDER)
