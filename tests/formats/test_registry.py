"""Formats by name, formats of other packages, and that nobody else names one."""

import ast
import re
import subprocess
import sys
from importlib.metadata import EntryPoint as Point
from pathlib import Path

import pytest

import rnn_deploy
from rnn_deploy import plugins
from rnn_deploy.bundle import Artifact
from rnn_deploy.errors import InputError
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.formats import registry
from rnn_deploy.formats.base import Format, FormatFiles, FormatOption
from rnn_deploy.formats.options import ExportOptions
from tests.support.errors import raises
from tests.support.models import small_model

ROOT = Path(rnn_deploy.__file__).parent
SIZE = FormatOption("line_size", 3, "Numbers in a line.")
# A format of another package: this module is its writer.
FORMAT = Format("text", "Text", __name__, options=(SIZE,), quantize=("int8",), packages=("numpy",))
OTHER = Format("onnx", "Another ONNX", __name__)
CLASH = Format("clash", "Clash", __name__, options=(FormatOption("opset", 1, "Another opset."),))
NO_FORMAT = 3


def write(read, folder, options):
    (folder / "model.txt").write_text("0 " * options["line_size"])
    entry = read.plan.sequence.entry.name
    return FormatFiles((Artifact("model.txt", "text", entry, ()),), notes=("text only",))


@pytest.fixture
def register(monkeypatch):
    """Register entry points NAME = MODULE:ATTRIBUTE for a test."""

    def points(**values):
        found = [Point(name, value, registry.GROUP) for name, value in values.items()]
        monkeypatch.setattr(plugins, "entry_points", lambda group: found)
        registry.all_formats.cache_clear()

    yield points
    registry.all_formats.cache_clear()


def test_the_name_of_a_format_is_the_name_in_the_table():
    for name, format in registry.all_formats().items():
        assert (format.name, registry.format_named(name)) == (name, format)
        assert set(format.quantize) <= set(registry.quantize_modes())


def test_a_format_of_another_package_is_written(register, tmp_path):
    register(text=f"{__name__}:FORMAT")
    options = ExportOptions("text", line_size=5, long=0)
    bundle = export(small_model(), tmp_path / "b", options)
    assert bundle.checked("model.txt").read_text() == "0 0 0 0 0 "
    assert bundle.manifest.artifact("text", "sequence").path == "model.txt"
    assert "text only" in bundle.manifest.notes
    assert "numpy" in bundle.manifest.tools


def test_two_quantised_formats_in_one_bundle_are_refused(register):
    register(text=f"{__name__}:FORMAT")
    with raises(InputError, "E-FORMAT-QUANTIZE-TWICE", "tflite", "text"):
        ExportOptions(("tflite", "text"), quantize="int8", calibration={})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("text", "no_such_module:FORMAT", ["'text'", "no_such_module"]),
        ("text", f"{__name__}:NO_FORMAT", ["'text'"]),
        ("other", f"{__name__}:FORMAT", ["'other'"]),
        ("onnx", f"{__name__}:OTHER", ["'onnx'", "taken"]),
        ("clash", f"{__name__}:CLASH", ["'clash'", "--opset", "'onnx'"]),
    ],
)
def test_a_registered_format_that_cannot_be_used_is_named(register, name, value, words):
    register(**{name: value})
    with raises(InputError, "E-FORMAT-PLUGIN", *words):
        registry.all_options()


def strings_in(path):
    """The strings of a module that are not docstrings, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def named_in(path):
    """The places in a module that name a format, in a string or by importing its package."""
    formats = r"(?i)\bonnx\b(?! Runtime)|\btflite\b|^c$"
    found = [f"{path.name}:{n} {s!r}" for n, s in strings_in(path) if re.search(formats, s)]
    imports = re.findall(
        r"^ *(?:from|import) rnn_deploy\.(?:onnx|tflite|c)\b.*", path.read_text(), re.M
    )
    return [*found, *imports]


@pytest.mark.parametrize("part", ["exporting", "bundle", "cli"])
def test_nobody_names_a_format_but_the_registry(part):
    # bundle/weights.py reads files on machines that lack the packages of their formats.
    places = sorted({*(ROOT / part).rglob("*.py")} - {ROOT / "bundle" / "weights.py"})
    assert [line for place in places for line in named_in(place)] == []


def test_the_check_sees_a_name(tmp_path):
    place = tmp_path / "m.py"
    place.write_text('"""onnx"""\nfrom rnn_deploy.tflite import x\nif format == "onnx": ...\n')
    assert len(named_in(place)) == 2


def test_descriptions_import_neither_tensorflow_nor_onnx():
    code = (
        "import sys; from rnn_deploy.formats.options import ExportOptions; ExportOptions();"
        "print([m for m in ('tensorflow', 'keras', 'onnx', 'onnx_ir') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
