"""onnxruntime-web for tests: from build/, or else from npm; without both, tests are skipped."""

import functools
import os
import shutil
from pathlib import Path
from unittest import mock

import pytest

from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.runtimes.ort_web.npm_package import cache_folder, ort_web_files

# Not the cache of the other tests: with it, `ort-web` would be one of the runtimes that they use.
CACHE = Path(__file__).parents[2] / "build" / "cache"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node.js is not here")


@functools.cache
def _why_missing():
    """Fetch the files into the cache; return why that is not possible, empty if it is."""
    with mock.patch.dict(os.environ, RNN_DEPLOY_CACHE=str(CACHE)):
        try:
            ort_web_files()
        except RuntimeUnavailableError as error:
            return error.message
    return ""


def ort_web_cache():
    """Return the value of RNN_DEPLOY_CACHE with onnxruntime-web in it, or skip the test."""
    why = _why_missing()
    if why:
        pytest.skip(f"onnxruntime-web is not here: {why}")
    return str(CACHE)


def ort_web_folder():
    """Return the folder with onnxruntime-web as text, or skip the test."""
    with mock.patch.dict(os.environ, RNN_DEPLOY_CACHE=ort_web_cache()):
        return str(cache_folder())
