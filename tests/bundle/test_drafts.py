import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import rnn_deploy
from rnn_deploy.bundle import drafts, open_bundle
from rnn_deploy.bundle.drafts import LOCK, OLD, YOUNG
from rnn_deploy.bundle.store import (
    MANIFEST,
    with_bundle,
    writing_bundle,
    writing_file,
    writing_files,
)
from rnn_deploy.errors import BundleError
from tests.support.errors import raises

ROOT = Path(rnn_deploy.__file__).parents[1]
WRITER = """
import os, signal, sys
from pathlib import Path
from rnn_deploy.bundle import drafts
from rnn_deploy.bundle.store import writing_bundle, writing_files
root, how = Path(sys.argv[1]), sys.argv[2]
def killed(event, given):
    names = [Path(str(item)).name for item in given[:2]]
    if event == "os.rename" and how in ("away", "back") and names[how == "away"] == {
        "away": "old", "back": "new"}[how]:
        os.kill(os.getpid(), signal.SIGKILL)
    if event == "shutil.rmtree" and how == "cleaning":
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(killed)
if how in ("away", "back"):
    drafts.exchanged = lambda one, other: False
with writing_bundle(root, force=True) as draft:
    (draft / "manifest.json").write_text("new")
    if how == "filling":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def two_renames(monkeypatch):
    """A system that cannot exchange folders."""
    monkeypatch.setattr(drafts, "exchanged", lambda one, other: False)


def _fill(place, text="new"):
    with writing_bundle(place, force=True) as draft:
        (draft / MANIFEST).write_text(text)


def _killed_writer(root, how):
    words = [sys.executable, "-c", WRITER, str(root), how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("how", "text"),
    [("filling", "old"), ("away", "old"), ("back", "old"), ("cleaning", "new")],
)
def test_a_killed_writer_loses_nothing_and_the_next_one_cleans_up(tmp_path, how, text):
    root = tmp_path / "b"
    _fill(root, "old")
    _killed_writer(root, how)
    assert len(list(tmp_path.iterdir())) == (1 if how == "back" else 2)  # it left something
    with raises(BundleError, "E-BUNDLE-DAMAGED"):  # the reader finds it again, whole
        open_bundle(root)
    assert (root / MANIFEST).read_text() == text
    _fill(root, "newest")
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]
    assert (root / MANIFEST).read_text() == "newest"


def test_folders_of_living_writers_and_of_others_stay(tmp_path):
    strangers = [".b.x.part", ".b.abcdefgh.partial", ".c.abcdefgh.part", "b.abcdefgh.part"]
    for name in strangers:
        (tmp_path / name).mkdir()
    starting = tmp_path / ".b.00000000.part"  # has no lock yet
    starting.mkdir()
    with writing_bundle(tmp_path / "b", force=True) as draft:
        (draft / MANIFEST).write_text("first")
        _fill(tmp_path / "b", "second")
        assert draft.is_dir()
    assert (tmp_path / "b" / MANIFEST).read_text() == "first"
    assert {entry.name for entry in tmp_path.iterdir()} == {*strangers, starting.name, "b"}
    long_ago = time.time() - 2 * YOUNG
    os.utime(starting, (long_ago, long_ago))
    _fill(tmp_path / "b")
    assert not starting.exists()


@pytest.mark.parametrize("count", [40])
@pytest.mark.parametrize("system", ["exchange", "two renames"])
def test_readers_of_a_bundle_that_is_replaced_see_no_error(
    small_bundle, monkeypatch, count, system, x
):
    if system != "exchange":
        monkeypatch.setattr(drafts, "exchanged", lambda one, other: False)
    assert replaced_under_readers(small_bundle, count, readers=2) > 0


def replaced_under_readers(root, count, readers):
    """Replace a bundle by copies with another manifest while threads read; how often they read."""
    contents = {p.name: p.read_bytes() for p in root.iterdir()}
    done, errors, reads = threading.Event(), [], [0] * readers

    def read(number):
        while not done.is_set():
            try:
                with_bundle(root, lambda b: [b.read(r.path) for r in b.manifest.files])
                reads[number] += 1
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    for number in range(count):
        with writing_bundle(root, force=True) as draft:
            for name, content in contents.items():
                extra = b" " * (number % 2) if name == MANIFEST else b""
                (draft / name).write_bytes(content + extra)
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    return min(reads)


def test_a_bundle_that_was_replaced_says_so(small_bundle):
    bundle = open_bundle(small_bundle)
    _fill(small_bundle)
    for method in (bundle.read, bundle.checked):
        with raises(BundleError, "E-BUNDLE-REPLACED", str(small_bundle)):
            method("sequence.onnx")


def test_a_writer_that_another_overtakes_replaces_its_bundle(tmp_path, two_renames):
    with writing_bundle(tmp_path / "b", force=True) as draft:
        (draft / MANIFEST).write_text("slow")
        _fill(tmp_path / "b", "fast")
    assert (tmp_path / "b" / MANIFEST).read_text() == "slow"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_windows_waits_for_readers(tmp_path, two_renames, monkeypatch):
    _fill(tmp_path / "b", "old")
    rename, refusals = Path.rename, [PermissionError(13, "in use")] * 3

    def refusing(self, target):
        if refusals and self.name == "b":
            raise refusals.pop()
        return rename(self, target)

    monkeypatch.setattr(drafts.Path, "rename", refusing)
    with pytest.raises(PermissionError):  # elsewhere it means what it says
        _fill(tmp_path / "b")
    monkeypatch.setattr(drafts.os, "name", "nt")
    drafts._rename_unused(tmp_path / "b", tmp_path / "c")
    assert (refusals, (tmp_path / "c" / MANIFEST).read_text()) == ([], "old")


# Several files


def _write_files(places, error=None):
    with writing_files(places, force=True) as written:
        for draft in written:
            draft.write_text("new")
            if error is not None:
                raise error


def test_files_appear_together_or_not_at_all(tmp_path):
    places = [tmp_path / "a.json", tmp_path / "deep" / "b.xml"]
    with pytest.raises(KeyError):
        _write_files(places, error=KeyError)
    assert not any(place.exists() for place in places)
    with writing_files(places, force=False) as written:
        for draft in written:
            draft.write_text("whole")
        assert not any(place.exists() for place in places)
    assert [place.read_text() for place in places] == ["whole", "whole"]


KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from rnn_deploy.bundle.store import writing_files
places, at, seen = [Path(p) for p in sys.argv[2:]], int(sys.argv[1]), [0]
def killed(event, given):
    if event in ("os.rename", "os.remove") and "lock" not in str(given[0]):
        seen[0] += 1
        if seen[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(killed)
with writing_files(places, force=True) as drafts:
    for draft in drafts:
        draft.write_text("new")
"""


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_files_of_two_runs_never_lie_side_by_side(tmp_path, at):
    places = [tmp_path / "a.json", tmp_path / "b.xml"]
    for place in places:
        place.write_text("old")
    words = [sys.executable, "-c", KILLED_BETWEEN, str(at), *map(str, places)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len({place.read_text() for place in places if place.exists()}) <= 1
    for place in places:
        drafts.remove_leftovers(place)
    assert len({place.read_text() for place in places if place.exists()}) <= 1
    assert all(entry in places for entry in tmp_path.iterdir())


def test_old_files_come_back_if_one_cannot_be_moved(tmp_path, monkeypatch):
    places = [tmp_path / "a.json", tmp_path / "b.xml"]
    for place in places:
        place.write_text("old")
    rename = Path.rename

    def refusing(self, target):
        if self.name == "b.xml":
            raise PermissionError(13, "in use")
        return rename(self, target)

    monkeypatch.setattr(drafts.Path, "rename", refusing)
    with pytest.raises(PermissionError):
        _write_files(places)
    assert [place.read_text() for place in places] == ["old", "old"]


def test_a_file_may_have_the_name_of_a_part(tmp_path):
    for name in (LOCK, OLD, "new"):
        with writing_file(tmp_path / name, force=False) as draft:
            draft.write_text("x")
        assert (tmp_path / name).read_text() == "x"
