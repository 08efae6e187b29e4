"""A real Triton server from the PyPI package nvidia-pytriton, which has the Python backend only.

The package needs an older NumPy, so it lives in an environment of its own:

    python3.11 -m venv ENV && ENV/bin/pip install nvidia-pytriton onnxruntime "numpy<2"
    RNN_DEPLOY_TRITON_PYTHON=ENV/bin/python scripts/test tests/packaging/triton
"""

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

PYTHON = os.environ.get("RNN_DEPLOY_TRITON_PYTHON")
needs_triton = pytest.mark.skipif(
    PYTHON is None,
    reason="RNN_DEPLOY_TRITON_PYTHON names no Python with nvidia-pytriton",
)
PLACES = """
import sys, sysconfig, pathlib, pytriton
package = pathlib.Path(pytriton.__file__).parent
print(package / "tritonserver", package.parent / "nvidia_pytriton.libs")
print(sysconfig.get_config_var("LIBDIR"), "%d.%d" % sys.version_info[:2])
"""


def in_triton_environment(code, *words):
    """Return the output of a program in the environment with Triton."""
    return subprocess.run(
        [PYTHON, "-c", code, *map(str, words)], check=True, capture_output=True, text=True
    ).stdout


@contextmanager
def serving(models, folder):
    """Run a server on a model repository; yields its URL."""
    server, libraries, python_library, version = in_triton_environment(PLACES).split()
    backends = Path(shutil.copytree(Path(server) / "backends", folder / "backends"))
    # The backend needs the stub of this version of Python beside it.
    stub = Path(server) / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, backends / "python")
    http, grpc = _free_port(), _free_port()
    environment = os.environ | {
        "LD_LIBRARY_PATH": f"{libraries}:{python_library}",
        # The stub finds its packages by the first python3 on the path.
        "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}",
    }
    environment.pop("PYTHONPATH", None)
    words = [
        *(Path(server) / "bin" / "tritonserver", f"--model-repository={models}"),
        *(f"--backend-directory={backends}", f"--http-port={http}", f"--grpc-port={grpc}"),
        *("--allow-metrics=false", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"),
        "--model-control-mode=none",
    ]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, words)), env=environment, stdout=output, stderr=output
        )
        try:
            yield f"http://127.0.0.1:{http}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
