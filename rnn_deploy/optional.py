"""Import packages that belong to an extra; say the pip command if one is missing."""

import importlib
import importlib.util
from types import ModuleType

from rnn_deploy.errors import MissingExtraError

EXTRA_OF = {
    "tensorflow": "export",
    "keras": "export",
    "tf2onnx": "export",
    "onnx": "export",
    "onnx_ir": "export",
    "onnxruntime": "ort",
    "openvino": "openvino",
    "ai_edge_litert": "litert",
    "ai_edge_quantizer": "quantize",
    "tflite_micro": "micro",
    "matplotlib": "report",
}


def is_installed(package: str) -> bool:
    """Return whether `package` can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def installed_version(package: str) -> str | None:
    """Return the version of a distribution, None if it is not installed."""
    # Imported here: it costs a tenth of the start of `rnn-deploy run`, which needs no versions.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def pip_line(package: str) -> str:
    """Return the command that installs the extra with `package`."""
    return f"pip install 'rnn-deploy[{EXTRA_OF[package]}]'"


def require(module: str) -> ModuleType:
    """Import `module`; MissingExtraError shows the pip command that installs it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            "E-RUNTIME-MISSING-EXTRA",
            f"the package '{package}' is not installed; install it with {pip_line(package)}",
        ) from error
