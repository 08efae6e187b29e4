"""The shape of the tests: what a test file may import."""

import ast
from pathlib import Path

import pytest

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
