"""Every error has a stable code: written where it is raised, and explained in docs/errors.md.

The checks of the whole package start when `RnnDeployError` takes no single argument any more: then
replace its `__init__` by

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(code, message)

and its `__str__` by `return f"{self.message} [{self.code}]"`.
"""

import ast
import copy
import inspect
import pickle
import re
from collections import Counter
from pathlib import Path

import pytest

import rnn_deploy
from rnn_deploy import errors
from rnn_deploy.errors import InputError, RnnDeployError, one_line

ROOT = Path(rnn_deploy.__file__).parent
TABLE = ROOT.parent / "docs" / "errors.md"
AREAS = "SOURCE|MODEL|EXPORT|FORMAT|BUNDLE|STATE|INPUT|DATA|OPTION|RUNTIME|PLACEMENT|VERIFY|BENCH"
CODE = re.compile(rf"E-({AREAS})(-[A-Z0-9]+)+")
message = inspect.signature(RnnDeployError).parameters["message"]
when_strict = pytest.mark.skipif(
    message.default is not inspect.Parameter.empty, reason="errors may still lack their code"
)


def trees(root=ROOT):
    """The syntax tree of every module, by its path below `root`."""
    return {
        place.relative_to(root).as_posix(): ast.parse(place.read_text(encoding="utf-8"))
        for place in sorted(root.rglob("*.py"))
    }


def name_of(node):
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def error_classes(modules):
    """The names of RnnDeployError and of all classes below it."""
    bases = {
        node.name: {name_of(base) for base in node.bases}
        for tree in modules.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"RnnDeployError"}
    while True:
        more = {name for name, above in bases.items() if above & found} - found
        if not more:
            return found
        found |= more


def constructions(modules):
    """(place, class, code) of every error that is made; code None if it is not written there."""
    classes = error_classes(modules)
    for path, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name_of(node.func) in classes:
                first = node.args[0] if len(node.args) > 1 else None
                literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
                code = first.value if literal else None
                yield f"{path}:{node.lineno}", name_of(node.func), code


def without_code(modules):
    """Where an error is made without a literal code of the right form."""
    return [
        place
        for place, _, code in constructions(modules)
        if code is None or CODE.fullmatch(code) is None
    ]


def of_several_classes(modules):
    """Codes that more than one class is raised with."""
    classes = {}
    for _, kind, code in constructions(modules):
        classes.setdefault(code, set()).add(kind)
    return {code: kinds for code, kinds in classes.items() if len(kinds) > 1}


def documented():
    return re.findall(r"^\| (E-\S+) \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)


@when_strict
def test_every_error_has_a_code_where_it_is_made():
    assert without_code(trees()) == []


@when_strict
def test_the_table_has_every_code_and_no_other():
    assert sorted({code for _, _, code in constructions(trees())}) == sorted(documented())


@when_strict
def test_the_table_is_sorted():
    assert documented() == sorted(documented())


@when_strict
def test_a_code_is_of_one_class():
    assert of_several_classes(trees()) == {}


@when_strict
def test_no_code_is_in_the_table_twice():
    assert [code for code, count in Counter(documented()).items() if count > 1] == []


PLANTED = """
class ClosedError(InputError): pass
class InputError(errors.RnnDeployError): pass
def f(code):
    raise InputError("E-INPUT-GOOD", "x")
    raise InputError("only a message")
    raise InputError(code, "x")
    raise errors.InputError("E-input", "x")
    raise ValueError("E-INPUT-OTHER", "x")
    return ClosedError("E-INPUT-GOOD", "x")
"""


def test_the_checks_see_planted_faults():
    modules = {"m.py": ast.parse(PLANTED)}
    assert error_classes(modules) == {"RnnDeployError", "InputError", "ClosedError"}
    assert without_code(modules) == ["m.py:6", "m.py:7", "m.py:8"]
    assert of_several_classes(modules) == {"E-INPUT-GOOD": {"InputError", "ClosedError"}}


def test_an_error_shows_its_code_and_keeps_its_message():
    error = InputError("E-INPUT-X", "input 'x' is wrong")
    assert (error.code, error.message) == ("E-INPUT-X", "input 'x' is wrong")
    assert str(error) == "input 'x' is wrong [E-INPUT-X]"


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_survives_its_way_from_a_worker(again):
    error = again(InputError("E-INPUT-X", "wrong"))
    assert (type(error), error.code, error.message) == (InputError, "E-INPUT-X", "wrong")


def test_every_class_has_an_exit_code_of_the_documented_ones():
    for name in error_classes(trees()):
        kind = getattr(errors, name, None)
        assert kind is None or kind.exit_code in (1, 2, 3, 4)


def test_a_quoted_message_is_one_line_without_the_code():
    assert one_line(InputError("E-INPUT-X", "a\n  b")) == "a b"
    assert one_line(ValueError("a\n\tb")) == "a b"
    assert len(one_line(ValueError("x" * 1000))) == 300
