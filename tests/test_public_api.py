"""What `rnn_deploy` offers: every name is there, for people, for type checkers, and lazily."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import rnn_deploy
from rnn_deploy import errors

TREE = ast.parse(Path(rnn_deploy.__file__).read_text(encoding="utf-8"))
ERRORS = {
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.RnnDeployError)
}


def for_type_checkers():
    """The names that only type checkers import, with their modules."""
    (block,) = [node for node in TREE.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_types_and_errors_are_public():
    types = {"Bundle", "Model", "Report", "ScoreResult", "Stream", "StreamBatch"}
    assert set(rnn_deploy.__all__) == {"export", "load", "score", "verify", *types, *ERRORS}
    assert list(rnn_deploy.__all__) == sorted(rnn_deploy.__all__)


def test_type_checkers_and_the_interpreter_find_the_same():
    seen = for_type_checkers()
    assert set(rnn_deploy._MODULES) <= set(rnn_deploy.__all__)
    assert {name: seen[name] for name in rnn_deploy._MODULES} == rnn_deploy._MODULES
    for name, module in rnn_deploy._MODULES.items():
        value = getattr(rnn_deploy, name)
        assert (value.__name__, value.__module__) == (name, module)


@pytest.mark.parametrize("name", rnn_deploy.__all__)
def test_every_public_name_is_listed_and_has_a_docstring(name):
    assert name in dir(rnn_deploy)
    assert inspect.getdoc(getattr(rnn_deploy, name))


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Runner'"):
        rnn_deploy.Runner  # noqa: B018


def test_a_type_is_imported_when_it_is_used_and_not_before():
    code = """
import sys, rnn_deploy
from rnn_deploy import verify, InputError
lazy = set(rnn_deploy._MODULES.values())
assert not lazy & set(sys.modules), lazy & set(sys.modules)
assert "numpy" not in sys.modules
dir(rnn_deploy)
assert not lazy & set(sys.modules)
from rnn_deploy import Stream
assert "rnn_deploy.inference.stream" in sys.modules
heavy = {"tensorflow", "keras", "onnx", "onnx_ir", "onnxruntime", "ai_edge_litert", "rich"}
for name in rnn_deploy.__all__:
    getattr(rnn_deploy, name)
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
