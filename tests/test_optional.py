import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from rnn_deploy import optional
from rnn_deploy.errors import MissingExtraError
from rnn_deploy.optional import EXTRA_OF, installed_version, is_installed, pip_line, require
from tests.support.errors import raises

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_what_is_here_is_imported():
    assert require("numpy") is np
    assert require("numpy.linalg") is np.linalg


def test_a_missing_package_is_an_error_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(EXTRA_OF, "no_such_package", "models")
    wanted = ("'no_such_package'", "pip install 'rnn-deploy[models]'")
    with raises(MissingExtraError, "E-RUNTIME-MISSING-EXTRA", *wanted) as caught:
        require("no_such_package.part")
    assert caught.value.exit_code == 3


def test_a_package_that_itself_misses_something_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_here.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("half_here")


def test_a_package_that_another_of_the_extra_needs_is_named_itself():
    code = (
        "import sys, types\n"
        "here = {name: types.ModuleType(name) for name in ('tensorflow', 'keras')}\n"
        "sys.modules.update(here, onnx=None)\n"
        "import rnn_deploy.exporting"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    line = ended.stderr.splitlines()[-1]
    assert "'onnx'" in line
    assert "[E-RUNTIME-MISSING-EXTRA]" in line


def test_installed_is_found_out_without_importing(tmp_path, monkeypatch):
    (tmp_path / "explosive.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert is_installed("explosive")
    assert not is_installed("no_such_package")


def test_the_version_is_the_distribution_s_or_none():
    assert installed_version("numpy") == np.__version__
    assert installed_version("no-such-distribution") is None


@pytest.mark.parametrize("package", sorted(EXTRA_OF))
def test_every_pip_line_names_an_extra_that_installs_the_package(package):
    extra = EXTRA_OF[package]
    assert pip_line(package) == f"pip install 'rnn-deploy[{extra}]'"
    wanted = [line.partition(">=")[0] for line in PROJECT["optional-dependencies"][extra]]
    distributions = importlib.metadata.packages_distributions()
    assert set(wanted) & {package.replace("_", "-"), *distributions.get(package, [])}


def test_the_table_is_read_when_asked(monkeypatch):
    monkeypatch.setattr(optional, "EXTRA_OF", {"a": "ort"})
    assert pip_line("a").endswith("[ort]'")
