"""A package is written whole or not at all, and replaces nobody's own folder."""

import json

import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.packaging.base import PackageFiles, Packager
from rnn_deploy.packaging.writing import MARK, write_package, write_single_file
from tests.support.errors import raises

PACKAGER = Packager("p", "help", lambda bundle, options: PackageFiles({}))
FILES = {"a.txt": b"1", "b/c.txt": b"2"}


def test_files_and_their_hashes_are_written(masked, tmp_path):
    write_package(PACKAGER, masked, FILES, tmp_path / "out", force=False)
    found = {p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("*.txt")}
    assert found == set(FILES)
    mark = json.loads((tmp_path / "out" / MARK).read_text())
    assert mark["bundle"] == masked.digest
    assert set(mark["files"]) == set(FILES)


def test_a_package_is_replaced_only_by_force(masked, tmp_path):
    out = tmp_path / "out"
    write_package(PACKAGER, masked, FILES, out, force=False)
    with raises(InputError, "E-OPTION-EXISTS", str(out)):
        write_package(PACKAGER, masked, {"new": b""}, out, force=False)
    assert (out / "a.txt").is_file()
    write_package(PACKAGER, masked, {"new": b""}, out, force=True)
    assert sorted(p.name for p in out.iterdir()) == ["new", MARK]


def test_a_folder_of_somebody_else_stays(masked, tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    with raises(InputError, "E-OPTION-NOT-REPLACED", str(tmp_path)):
        write_package(PACKAGER, masked, FILES, tmp_path, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["own.txt"]


def test_nothing_is_left_when_writing_fails(masked, tmp_path):
    with pytest.raises(OSError, match="a"):
        write_package(PACKAGER, masked, {"a": b"", "a/b": b""}, tmp_path / "out", force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_package_of_one_file_is_replaced_only_by_force(tmp_path):
    out = tmp_path / "folder" / "page.html"
    first, second = (f"<!-- {MARK} -->\n{n}".encode() for n in (1, 2))
    write_single_file(first, out, force=False)
    with raises(InputError, "E-OPTION-EXISTS", str(out)):
        write_single_file(second, out, force=False)
    assert out.read_bytes() == first
    write_single_file(second, out, force=True)
    assert out.read_bytes() == second
    assert [p.name for p in out.parent.iterdir()] == ["page.html"]


def test_a_file_or_folder_of_somebody_else_stays(tmp_path):
    own = tmp_path / "own.html"
    own.write_text("mine")
    for place in (own, tmp_path):
        with raises(InputError, "E-OPTION-NOT-REPLACED", str(place)):
            write_single_file(b"new", place, force=True)
    (tmp_path / "empty").mkdir()
    with raises(InputError, "E-OPTION-NOT-REPLACED", "folder"):
        write_single_file(b"new", tmp_path / "empty", force=True)
    assert own.read_text() == "mine"
