"""A server that answers as Triton does: it runs the Python backend's model.py of a package."""

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace

import numpy as np

from rnn_deploy.packaging.triton.config import DATA_TYPES
from tests.support.triton_config import config_of

NUMPY = {value: key for key, value in DATA_TYPES.items()}
START, END = 1, 2


class Tensor:
    """A tensor as the Python backend has it."""

    def __init__(self, name, value):
        self.name, self.value = name, value

    def as_numpy(self):
        return self.value


class Request:
    """One request: feeds by name, and its sequence."""

    def __init__(self, feeds, parameters):
        self.feeds, self.parameters = feeds, parameters

    def correlation_id(self):
        return self.parameters.get("sequence_id", 0)

    def flags(self):
        started = START * bool(self.parameters.get("sequence_start"))
        return started | END * bool(self.parameters.get("sequence_end"))


def utilities():
    """The module that the Python backend has for models."""
    module = ModuleType("triton_python_backend_utils")
    module.Tensor = Tensor
    module.TritonError = str
    module.InferenceResponse = lambda tensors=(), error=None: SimpleNamespace(
        tensors=tensors, error=error
    )
    module.get_input_tensor_by_name = lambda request, name: Tensor(name, request.feeds[name])
    module.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = START
    module.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = END
    return module


def loaded(folder, change=lambda text: text):
    """The model in the folder of a version; `change` changes the text of model.py."""
    place = folder / "model.py"
    text = change(place.read_text())
    sys.modules["triton_python_backend_utils"] = utilities()
    try:
        space = {"__file__": str(place)}
        exec(compile(text, str(place), "exec"), space)
    finally:
        del sys.modules["triton_python_backend_utils"]
    model = space["TritonPythonModel"]()
    model.initialize({})
    return model


@contextmanager
def fake_server(models, configs):
    """Serve models by name, with the text of config.pbtxt by name; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words):
            """Print nothing."""

        def do_GET(self):
            name = self.path.split("/")[3] if "/models/" in self.path else ""
            self.answer(json.dumps(config_of(configs[name]) if name else {}).encode())

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            at = int(self.headers["Inference-Header-Content-Length"])
            head, feeds = json.loads(body[:at]), {}
            for one in head["inputs"]:
                size = one["parameters"]["binary_data_size"]
                values = np.frombuffer(body[at : at + size], NUMPY[one["datatype"]])
                feeds[one["name"]], at = values.reshape(one["shape"]), at + size
            request = Request(feeds, head["parameters"])
            (response,) = models[self.path.split("/")[3]].execute([request])
            if response.error:
                self.answer(json.dumps({"error": response.error}).encode(), status=400)
                return
            parts = [np.ascontiguousarray(t.value).tobytes() for t in response.tensors]
            outputs = [
                {
                    **{"name": t.name, "shape": t.value.shape},
                    "datatype": DATA_TYPES[t.value.dtype.name],
                    "parameters": {"binary_data_size": len(part)},
                }
                for t, part in zip(response.tensors, parts, strict=True)
            ]
            text = json.dumps({"outputs": outputs}).encode()
            self.answer(text + b"".join(parts), header=len(text))

        def answer(self, content, *, status=200, header=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if header is not None:
                self.send_header("Inference-Header-Content-Length", str(header))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
