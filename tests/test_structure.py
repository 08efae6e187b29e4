"""The shape of the tests: what a test file may import, and where each module is tested."""

import ast
from pathlib import Path

import pytest

import rnn_deploy
from tests.support.mirror import TESTED_IN, WITHOUT_MODULE

TESTS = Path(__file__).parent
OTHERS = sorted({*TESTS.rglob("*.py")} - {Path(__file__)})  # this file holds planted imports
FILES = {path.relative_to(TESTS).as_posix(): path for path in OTHERS}


def imports_from_tests(text):
    """Names of modules below `tests` that the code imports, in functions and in strings too."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            assert not node.level, f"relative import: {ast.unparse(node)}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines = node.value.splitlines()  # a script that the test runs
            found |= {line.split()[1] for line in lines if line.startswith("from tests.")}
    return {name for name in found if name.split(".")[0] == "tests"}


@pytest.mark.parametrize("file", FILES)
def test_tests_import_helpers_from_support_only(file):
    imported = imports_from_tests(FILES[file].read_text(encoding="utf-8"))
    assert {name for name in imported if not name.startswith("tests.support.")} == set()


@pytest.mark.parametrize(
    "code",
    [
        "from tests.conftest import x",
        "def f():\n    import tests.onnx.test_writer",
        "SCRIPT = '''\nfrom tests.test_testing import spoiled\n'''",
    ],
)
def test_an_import_from_another_test_is_found(code):
    (name,) = imports_from_tests(code)
    assert not name.startswith("tests.support.")


def module_of(test):
    """The module that a test file is named after."""
    folder, _, name = test.rpartition("/")
    return f"{folder}/{name.removeprefix('test_')}".removeprefix("/")


PACKAGE = Path(rnn_deploy.__file__).parent
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
}
TEST_FILES = {p.relative_to(TESTS).with_suffix("").as_posix() for p in TESTS.rglob("test_*.py")}


def test_every_module_has_its_tests():
    listed = [module for _, modules in TESTED_IN.values() for module in modules]
    assert len(listed) == len(set(listed))
    assert MODULES - {module_of(test) for test in TEST_FILES} == set(listed)


def test_every_test_file_has_its_module():
    assert {test for test in TEST_FILES if module_of(test) not in MODULES} == set(WITHOUT_MODULE)
    assert set(TESTED_IN) <= TEST_FILES
