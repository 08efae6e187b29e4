"""A real Triton server runs the Python backend; tritonclient's definition reads config.pbtxt."""

import subprocess
import sys

import pytest

from tests.support.triton_server import in_triton_environment, needs_triton, serving

PARSE = """
import sys
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
for place in sys.argv[1:]:
    text = open(place, encoding="utf-8").read()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    states = config.sequence_batching.state
    print(config.name, config.max_batch_size, [s.initial_state[0].zero_data for s in states])
"""


@needs_triton
def test_tritonclient_reads_the_configurations(packages):
    places = sorted(packages["onnxruntime"].rglob("config.pbtxt"))
    printed = in_triton_environment(PARSE, *places).splitlines()
    assert printed == ["two 64 []", "two_stream 64 [True, True]"]


@needs_triton
@pytest.mark.slow
def test_a_real_server_passes_the_check(packages, tmp_path):
    package = packages["python"]
    with serving(package / "models", tmp_path) as url:
        words = [sys.executable, package / "check.py", "--url", url, "--ready-within", "60"]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + (tmp_path / "server.log").read_text()[-2000:]
    assert "two_stream: passed" in ended.stdout
