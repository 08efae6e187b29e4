"""Libraries are compiled once, kept apart by what they are made of, and refused with a reason."""

import ctypes

import pytest

from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.runtimes import compiler
from tests.support.c_compilers import needed
from tests.support.errors import raises

pytestmark = needed("cc")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RNN_DEPLOY_CACHE", str(tmp_path))
    return tmp_path / "c"


def source(value):
    return {"a.c": f"int f(void);\nint f(void) {{ return {value}; }}\n".encode()}


def test_a_library_is_compiled_once(cache, monkeypatch):
    first = compiler.built_library(source(3))
    assert ctypes.CDLL(str(first)).f() == 3
    monkeypatch.setattr(compiler, "_compile", lambda *_: pytest.fail("compiled again"))
    assert compiler.built_library(source(3)) == first
    assert list(cache.iterdir()) == [first]


def test_other_sources_and_other_flags_are_other_libraries(monkeypatch):
    first = compiler.built_library(source(3))
    assert compiler.built_library(source(4)) != first
    monkeypatch.setattr(compiler, "FLAGS", ("-std=c99", "-O1"))
    assert compiler.built_library(source(3)) != first


def test_only_the_newest_are_kept(cache, monkeypatch):
    monkeypatch.setattr(compiler, "MOST_KEPT", 2)
    paths = [compiler.built_library(source(value)) for value in range(4)]
    assert len(list(cache.iterdir())) == 2
    assert paths[-1].is_file()


def test_what_the_compiler_says_is_in_the_error(cache):
    with raises(RuntimeUnavailableError, "E-RUNTIME-COMPILE", "nonsense"):
        compiler.built_library({"a.c": b"int f(void) { return nonsense; }\n"})
    assert list(cache.iterdir()) == []


def test_without_the_flags_of_this_processor_it_is_compiled_all_the_same(monkeypatch):
    """A processor that has no -march=native has no width of vectors to prefer either."""
    monkeypatch.setattr(
        compiler, "FLAGS", ("-std=c99", "-march=unknown", "-mprefer-vector-width=1")
    )
    assert ctypes.CDLL(str(compiler.built_library(source(5)))).f() == 5
