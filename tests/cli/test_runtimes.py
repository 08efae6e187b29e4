import json

import pytest

from rnn_deploy.cli import runtimes as module
from rnn_deploy.optional import installed_version
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import RUNTIMES


class Gone(FakeRuntime):
    def version(self):
        return None

    def why_unavailable(self):
        return "the extra is not installed; pip install 'rnn-deploy[ort]'"


@pytest.fixture
def some(monkeypatch):
    """One runtime that is here and one that is not."""
    monkeypatch.setattr(module, "RUNTIMES", {"here": FakeRuntime(dict), "gone": Gone(dict)})


def test_json_says_what_is_here_and_why_the_rest_is_not(command, some):
    ended = command("runtimes", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == [
        {"runtime": "here", "format": "onnx", "version": "0", "unavailable": None},
        {
            "runtime": "gone",
            "format": "onnx",
            "version": None,
            "unavailable": "the extra is not installed; pip install 'rnn-deploy[ort]'",
        },
    ]


def test_the_table_says_the_same(command, some):
    rows = [line.split("│") for line in command("runtimes").out.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in row[1:-1]] for row in rows]
    assert cells == [
        ["here", "onnx", "0", "here"],
        ["gone", "onnx", "-", "the extra is not installed; pip install 'rnn-deploy[ort]'"],
    ]


def test_the_real_ones_are_listed_with_the_versions_installed(command):
    facts = {fact["runtime"]: fact for fact in json.loads(command("runtimes", "--json").out)}
    assert list(facts) == list(RUNTIMES)
    assert facts["litert"]["version"] == installed_version("ai-edge-litert")
    assert facts["ort-cpu"]["unavailable"] is None
