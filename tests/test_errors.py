"""Every error has a stable code: written where it is raised, and explained in docs/errors.md."""

import ast
import copy
import pickle
import re
from collections import Counter
from pathlib import Path

import pytest

import rnn_deploy
from rnn_deploy import errors
from rnn_deploy.errors import InputError, one_line

ROOT = Path(rnn_deploy.__file__).parent
TABLE = ROOT.parent / "docs" / "errors.md"
AREAS = (
    "SOURCE|MODEL|EXPORT|FORMAT|BUNDLE|STATE|INPUT|DATA|OPTION|RUNTIME|PLACEMENT|VERIFY|BENCH|SCORE"
)
CODE = re.compile(rf"E-({AREAS}|GENERATE)(-[A-Z0-9]+)+")


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
    """(place, class, first argument, number of arguments) of every error that is made."""
    classes = error_classes(modules)
    for path, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name_of(node.func) in classes:
                first = node.args[0] if node.args else None
                yield f"{path}:{node.lineno}", name_of(node.func), first, len(node.args)


def without_code(modules):
    """Where an error is made from a message alone, or with a code of a wrong form."""
    return [
        place
        for place, _, first, count in constructions(modules)
        if count < 2
        or isinstance(first, ast.JoinedStr)
        or (isinstance(first, ast.Constant) and CODE.fullmatch(first.value) is None)
    ]


def codes_in(modules):
    """Every code that a module mentions."""
    return {
        node.value
        for tree in modules.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if CODE.fullmatch(node.value)
    }


def of_several_classes(modules):
    """Codes that more than one class is raised with."""
    classes = {}
    for _, kind, first, _ in constructions(modules):
        if isinstance(first, ast.Constant):
            classes.setdefault(first.value, set()).add(kind)
    return {code: kinds for code, kinds in classes.items() if len(kinds) > 1}


def documented():
    return re.findall(r"^\| (E-\S+) \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_error_has_a_code_where_it_is_made():
    assert without_code(trees()) == []


def test_the_table_has_every_code_and_no_other():
    assert sorted(codes_in(trees())) == sorted(documented())


def test_the_table_is_sorted():
    assert documented() == sorted(documented())


def test_a_code_is_of_one_class():
    assert of_several_classes(trees()) == {}


def test_no_code_is_in_the_table_twice():
    assert [code for code, count in Counter(documented()).items() if count > 1] == []


PLANTED = """
class ClosedError(InputError): pass
class InputError(errors.RnnDeployError): pass
def f(code):
    raise InputError("E-INPUT-GOOD", "x")
    raise InputError("only a message")
    raise InputError(f"E-{code}", "x")
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


@pytest.mark.parametrize(
    ("message", "short"),
    [
        (
            "Graph execution error:\n\nDetected at node Gather defined at (recent call last):\n"
            "<stack traces unavailable>\nindices[0,9] = -1 is not in [0, 50)\n"
            "\t [[{{node m/Gather}}]]"
            " [Op:__inference_run_372]",
            "indices[0,9] = -1 is not in [0, 50) (node m/Gather)",
        ),
        (
            "Exception encountered when calling layer 'rnn' (type LSTM).\n\nbad size\n\n"
            "Call arguments received by layer 'rnn' (type LSTM):\n  x=tf.Tensor",
            "layer 'rnn': bad size",
        ),
        ("\x1b[1mwrong\x1b[0m\n  shape", "wrong shape"),
    ],
)
def test_long_messages_are_cut_to_their_cause(message, short):
    assert one_line(ValueError(message)) == short
