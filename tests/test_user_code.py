"""Files of the user's own: which function of which file is meant, and what a file defines."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rnn_deploy.user_code import builder_in, defined_in, load_module


@pytest.mark.parametrize(
    ("file", "path", "name"),
    [
        ("m.py", "m.py", "build_model"),
        ("m.py:make", "m.py", "make"),
        ("C:\\m.py", "C:\\m.py", "build_model"),
        ("C:\\m.py:make", "C:\\m.py", "make"),
        ("a:b/m.py", "a:b/m.py", "build_model"),
    ],
)
def test_a_colon_that_is_part_of_the_path_names_no_function(monkeypatch, file, path, name):
    functions = SimpleNamespace(build_model=lambda: "build_model", make=lambda: "make")
    modules = {Path(path): functions}
    monkeypatch.setattr("rnn_deploy.user_code.load_module", modules.__getitem__)
    assert builder_in(file)() == name


def test_what_a_file_imports_is_not_its_own(tmp_path):
    place = tmp_path / "own.py"
    place.write_text("from math import sin\nclass A: pass\ndef f(): pass\nx = 3\n")
    assert set(defined_in(load_module(place))) == {"A", "f"}
