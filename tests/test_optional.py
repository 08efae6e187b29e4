import importlib.metadata
import json
import os
import re
import shlex
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

SOURCE = Path(__file__).parents[1]
PROJECT = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ON_AN_INDEX = "pip install 'rnn-deploy[ort]'"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that plants the metadata of an installation, found before the true one."""
    needs = [
        f'Requires-Dist: {need}; extra == "{extra}"\n'
        for extra, needs in PROJECT["optional-dependencies"].items()
        for need in needs
    ]

    def plant(origin=None):
        folder = tmp_path / "site" / "rnn_deploy-9.9.dist-info"
        folder.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: rnn-deploy\nVersion: 9.9\n{''.join(needs)}"
        (folder / "METADATA").write_text(text, encoding="utf-8")
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")
        monkeypatch.syspath_prepend(folder.parent)

    return plant


@pytest.fixture
def outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(optional, "__file__", str(tmp_path / "site/rnn_deploy/optional.py"))


def test_a_package_that_is_installed_is_imported():
    assert require("numpy") is np
    assert require("numpy.linalg") is np.linalg


def test_a_missing_package_is_an_error_with_its_pip_command(monkeypatch):
    monkeypatch.setitem(EXTRA_OF, "no_such_package", "models")
    names = ("'no_such_package'", pip_line("no_such_package"))
    with raises(MissingExtraError, "E-RUNTIME-MISSING-EXTRA", *names) as caught:
        require("no_such_package.part")
    assert caught.value.exit_code == 3


def test_a_package_that_itself_misses_another_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_here.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("half_here")


def test_each_package_of_an_extra_is_named_where_it_is_the_missing_one():
    code = (
        "import sys, types\n"
        "here = {name: types.ModuleType(name) for name in ('tensorflow', 'keras')}\n"
        "sys.modules.update(here, onnx=None)\n"
        "import rnn_deploy.exporting"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = ended.stderr.splitlines()[-1]
    assert "'onnx'" in last
    assert "[E-RUNTIME-MISSING-EXTRA]" in last


def test_whether_a_package_is_installed_is_found_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "explosive.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert is_installed("explosive")
    assert not is_installed("no_such_package")


def test_the_version_is_the_distribution_s_or_none():
    assert installed_version("numpy") == np.__version__
    assert installed_version("no-such-distribution") is None


@pytest.mark.parametrize("package", sorted(EXTRA_OF))
def test_every_package_belongs_to_an_extra_that_installs_it(package):
    needs = PROJECT["optional-dependencies"][EXTRA_OF[package]]
    wanted = {re.split("[<>=!~]", need)[0] for need in needs}
    distributions = importlib.metadata.packages_distributions()
    assert wanted & {package.replace("_", "-"), *distributions.get(package, [])}


# The command, by where the package was installed from


def test_from_an_index_the_name_is_enough(installed, outside_a_checkout):
    installed()
    assert pip_line("onnxruntime") == ON_AN_INDEX


def test_a_copy_without_metadata_is_taken_for_one_from_an_index(monkeypatch, outside_a_checkout):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert pip_line("onnxruntime") == ON_AN_INDEX


def test_a_checkout_that_is_not_installed_is_installed_as_it_lies(installed):
    installed()
    words = ["pip", "install", "-e", f"{SOURCE}[ort]"]
    assert shlex.split(pip_line("onnxruntime")) == words


@pytest.mark.skipif(os.name == "nt", reason="the planted paths are POSIX paths")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ({"dir_info": {"editable": True}}, ["-e"]),
        ({"dir_info": {}}, []),
        ({"archive_info": {}}, []),
    ],
    ids=["editable folder", "folder", "wheel"],
)
def test_from_a_local_path_it_is_the_same_path_quoted(kind, words, installed, tmp_path):
    place = tmp_path / "it's here; rnn deploy"
    place.mkdir()
    installed({"url": place.as_uri(), **kind})
    wanted = ["pip", "install", *words, f"{place}[litert]"]
    assert shlex.split(pip_line("ai_edge_litert")) == wanted


def test_on_windows_a_path_loses_its_slash_and_is_put_in_double_quotes(installed, monkeypatch):
    installed({"url": "file:///C:/my%20folder", "dir_info": {"editable": True}})
    monkeypatch.setattr(optional, "os", type("os", (), {"name": "nt"}))
    monkeypatch.setattr(optional.Path, "exists", lambda path: str(path) == "C:/my folder")
    assert pip_line("onnxruntime") == 'pip install -e "C:/my folder[ort]"'


@pytest.mark.parametrize("extra", sorted(set(EXTRA_OF.values())))
def test_where_a_wheel_was_deleted_the_packages_of_the_extra_are_named(extra, installed):
    installed({"url": "file:///no/such/rnn_deploy-9.9-py3-none-any.whl", "archive_info": {}})
    package = next(name for name, its in EXTRA_OF.items() if its == extra)
    wanted = ["pip", "install", *PROJECT["optional-dependencies"][extra]]
    assert shlex.split(pip_line(package)) == wanted


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        ({"url": "https://host/rnn_deploy.whl", "archive_info": {}}, "https://host/rnn_deploy.whl"),
        (
            {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "git+https://host/x.git@c0ffee",
        ),
        (
            {"url": "file:///srv/x.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "git+file:///srv/x.git@c0ffee",
        ),
    ],
    ids=["archive", "repository", "local repository"],
)
def test_from_a_url_it_is_the_same_url_and_commit(origin, source, installed):
    installed(origin)
    assert shlex.split(pip_line("openvino"))[2:] == [f"rnn-deploy[openvino] @ {source}"]
