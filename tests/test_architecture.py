"""The shape of the code itself: who imports whom, what is imported when, how long things get."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnn_deploy

ROOT = Path(rnn_deploy.__file__).parent
MODULES = {
    ".".join(("rnn_deploy", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(ROOT.rglob("*.py"))
}
# What each part may import besides itself: the picture in the README. The two wings, the Keras side
# and the run side, meet in `bundle` alone.
BELOW = {"errors", "optional", "spec", "numerics", "workers", "bundle"}
KERAS_SIDE = {"keras", "references", "formats", "onnx", "tflite", "c", "exporting"}
RUN_SIDE = {"runtimes", "inference", "verifying", "packaging", "scoring"}
MAY_IMPORT = {
    "errors": set(),
    "optional": {"errors"},
    "templates": {"optional"},
    "plugins": {"errors"},
    "user_code": {"errors"},
    "spec": {"errors"},
    "numerics": {"spec"},
    "workers": {"errors"},
    "bundle": {"errors", "optional", "spec"},
    "keras": {*BELOW, "user_code"},
    "references": {*BELOW, "keras"},
    "formats": {*BELOW, "keras", "references", "plugins"},
    "onnx": {*BELOW, "keras", "references", "formats"},
    "tflite": {*BELOW, "keras", "references", "formats"},
    "c": {*BELOW, "keras", "references", "formats"},
    "exporting": {*BELOW, "keras", "references", "formats"},
    "runtimes": BELOW,
    "inference": {*BELOW, "runtimes", "templates"},
    "verifying": {*BELOW, "runtimes", "inference", "templates"},
    "packaging": {*BELOW, "runtimes", "inference", "verifying", "plugins"},
    "scoring": {*BELOW, "runtimes", "inference"},
    "perf": {*BELOW, *KERAS_SIDE, *RUN_SIDE},
    "conformance": {*BELOW, *KERAS_SIDE, *RUN_SIDE},
    "testing": {*BELOW, *RUN_SIDE},
    "pytest_plugin": {"testing"},
    "__init__": {"errors"},
    "entry": set(),
    "__main__": {"entry"},
}
# Imports inside functions: the command line and the package's own front, which start fast.
MAY_IMPORT_LATE = {"cli", "entry", "__init__", "conformance", "pytest_plugin", "testing"}
HEAVY = ("tensorflow", "keras", "tf2onnx", "onnx", "onnx_ir")


def part_of(module):
    """The part of the package a module belongs to."""
    return [*module.split("."), "__init__"][1]


def imports_of(path):
    """(module, inside a function, for type checkers only) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late, typing = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            late.update(map(id, ast.walk(node)))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing.update(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inner]
        else:
            continue
        for name in dict.fromkeys(names):
            yield name, id(node) in late, id(node) in typing


def own_imports(module, *, late=True):
    """The modules of this package that `module` imports when it runs."""
    return {
        name
        for name, is_late, is_typing in imports_of(MODULES[module])
        if name.split(".")[0] == "rnn_deploy" and not is_typing and (late or not is_late)
    }


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) != "cli"])
def test_imports_go_one_way(module):
    part = part_of(module)
    wanted = {part_of(name) for name in own_imports(module, late=False)} - {part}
    assert wanted <= MAY_IMPORT[part]


@pytest.mark.parametrize("module", MODULES)
def test_only_the_front_imports_inside_functions(module):
    late = {name for name, is_late, _ in imports_of(MODULES[module]) if is_late}
    if part_of(module) not in MAY_IMPORT_LATE:
        assert {name for name in late if name.split(".")[0] == "rnn_deploy"} == set()


def test_keras_side_and_run_side_never_meet():
    for module in MODULES:
        reached = {part_of(name) for name in own_imports(module)}
        if part_of(module) in KERAS_SIDE:
            assert not reached & {*RUN_SIDE, "perf", "conformance", "cli"}, module
        if part_of(module) in {*RUN_SIDE, "bundle"}:
            assert not reached & KERAS_SIDE, module


def cycle_in(graph):
    """A module that reaches itself, or None."""
    state = {}

    def visit(module):
        if state.get(module) == "open":
            return module
        if module in state:
            return None
        state[module] = "open"
        found = next(filter(None, map(visit, sorted(graph.get(module, ())))), None)
        state[module] = "done"
        return found

    return next(filter(None, map(visit, graph)), None)


def test_no_import_comes_back_to_where_it_began():
    # A package's own __init__ runs before its modules; importing it from inside is no cycle.
    graph = {m: {n for n in own_imports(m, late=False) if not m.startswith(n)} for m in MODULES}
    assert cycle_in(graph) is None
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == "b"


def test_every_class_name_is_used_once():
    classes = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(module)
    assert {name: places for name, places in classes.items() if len(places) > 1} == {}


def too_long(path, lines=300, function=60):
    """What in a file is longer than it may be."""
    text = path.read_text(encoding="utf-8")
    found = [path.name] if text.count("\n") > lines else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= function:
            found.append(f"{path.name}: {node.name}")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_stay_short(module):
    assert too_long(MODULES[module]) == []


def test_a_long_function_and_a_long_file_are_found(tmp_path):
    place = tmp_path / "long.py"
    place.write_text("def f():\n" + "    x = 1\n" * 60 + "y = 1\n" * 500)
    assert too_long(place) == ["long.py", "long.py: f"]


def loaded_after(script, *args):
    """Names of the modules that are loaded once `script` has run in a process of its own."""
    code = script + "\nimport sys; print('LOADED', *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.partition("LOADED")[2].split()), done.stdout


COMMAND = """
import sys
from rnn_deploy.cli import main
try:
    main(sys.argv[1:])
except SystemExit as exit:
    assert exit.code in (0, None), exit.code
"""


def test_importing_the_package_imports_nothing_heavy():
    loaded, _ = loaded_after("import rnn_deploy")
    assert not loaded & {*HEAVY, "onnxruntime", "ai_edge_litert", "rich"}


def test_the_check_sees_a_heavy_import():
    loaded, _ = loaded_after("import onnx")
    assert "onnx" in loaded & set(HEAVY)


def test_using_a_bundle_imports_neither_tensorflow_nor_onnx(small_bundle, x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    stream = """
import numpy, sys, rnn_deploy
from rnn_deploy.cli import main
def command(*words):
    try:
        main(list(words))
    except SystemExit as exit:
        assert exit.code in (0, None), (words, exit.code)
bundle, x = sys.argv[1:]
command("--help")
command("run", bundle, "--inputs", x, "--runtime", "ort-cpu")
command("run", bundle, "--inputs", x, "--runtime", "litert", "--chunk", "2")
command("verify", bundle)
command("inspect", bundle)
command("runtimes")
command("score", bundle, "--input", x, "--output", x + ".scores", "--workers", "1")
model = rnn_deploy.load(bundle)
print(model.stream(2).step(numpy.load(x)).shape)
"""
    loaded, said = loaded_after(stream, str(small_bundle), str(tmp_path / "x.npy"))
    assert not loaded & set(HEAVY)
    assert "passed" in said
    assert "(2, 6, 2)" in said


def test_running_draws_nothing_so_it_imports_no_rich(small_bundle, x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    words = ["run", str(small_bundle), "--inputs", str(tmp_path / "x.npy")]
    loaded, _ = loaded_after(COMMAND, *words)
    assert not loaded & {*HEAVY, "rich"}
