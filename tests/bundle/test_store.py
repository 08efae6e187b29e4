import errno
import json
from pathlib import Path

import pytest

from rnn_deploy.bundle import drafts, open_bundle
from rnn_deploy.bundle.store import (
    MANIFEST,
    record_of,
    refuse_existing,
    writing_bundle,
    writing_file,
)
from rnn_deploy.errors import BundleError, InputError
from tests.support.errors import raises


def _contents(folder):
    """Every file below `folder`, and its bytes."""
    places = (p for p in Path(folder).rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in places}


def _edit_manifest(root, change):
    data = json.loads((root / MANIFEST).read_text())
    change(data)
    (root / MANIFEST).write_text(json.dumps(data))
    return open_bundle(root)


def test_every_file_of_a_fresh_bundle_is_as_recorded(small_bundle):
    bundle = open_bundle(small_bundle)
    listed = {record.path for record in bundle.manifest.files}
    assert {*listed, MANIFEST} == set(_contents(small_bundle))
    assert all(bundle.checked(path) == small_bundle / path for path in listed)


def test_the_digest_follows_every_byte_of_the_manifest(small_bundle):
    before = open_bundle(small_bundle).digest
    place = small_bundle / MANIFEST
    place.write_text(place.read_text() + " ")
    assert open_bundle(small_bundle).digest != before


FILES = ["sequence.onnx", "stream.onnx", "model.tflite", "golden.npz"]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("at", [0, 0.5, -1])
def test_one_flipped_bit_is_found(small_bundle, path, at):
    bundle, place = open_bundle(small_bundle), small_bundle / path
    content = bytearray(place.read_bytes())
    content[int(at * len(content)) if at >= 0 else -1] ^= 1
    place.write_bytes(content)
    for method in (bundle.checked, bundle.read):
        with raises(BundleError, "E-BUNDLE-ALTERED", path, "SHA-256"):
            method(path)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda place: place.write_bytes(place.read_bytes()[:-1]), "E-BUNDLE-ALTERED"),
        (lambda place: place.write_bytes(place.read_bytes() + b"\0"), "E-BUNDLE-ALTERED"),
        (lambda place: place.write_bytes(b""), "E-BUNDLE-ALTERED"),
        (lambda place: place.unlink(), "E-BUNDLE-FILE-MISSING"),
        (lambda place: (place.unlink(), place.mkdir()), "E-BUNDLE-FILE-MISSING"),
    ],
    ids=["cut", "longer", "empty", "gone", "folder"],
)
@pytest.mark.parametrize("path", FILES)
def test_a_damaged_file_is_named(small_bundle, path, damage, code):
    bundle = open_bundle(small_bundle)
    damage(small_bundle / path)
    for method in (bundle.checked, bundle.read):
        with raises(BundleError, code, path):
            method(path)


def test_a_file_the_manifest_does_not_list_is_refused(small_bundle):
    (small_bundle / "extra.onnx").write_bytes(b"x")
    with raises(BundleError, "E-BUNDLE-FILE-UNLISTED", "extra.onnx"):
        open_bundle(small_bundle).checked("extra.onnx")


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc/hostname", "..\\outside"])
def test_a_path_that_leaves_the_bundle_is_refused_even_when_its_hash_is_right(small_bundle, path):
    (small_bundle.parent / "outside").write_bytes(b"not yours")
    record = record_of(small_bundle.parent, "outside")

    def point_outside(data):
        data["files"][0] = {"path": path, "size": record.size, "sha256": record.sha256}

    bundle = _edit_manifest(small_bundle, point_outside)
    with raises(BundleError, "E-BUNDLE-OUTSIDE", path):
        bundle.checked(path)


def test_a_symbolic_link_is_refused_even_when_its_hash_is_right(small_bundle):
    bundle = open_bundle(small_bundle)
    place = small_bundle / "sequence.onnx"
    place.symlink_to(place.rename(small_bundle.parent / "elsewhere.onnx"))
    for method in (bundle.checked, bundle.read):
        with raises(BundleError, "E-BUNDLE-OUTSIDE", "sequence.onnx", "cp -rL"):
            method("sequence.onnx")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda root: None, "E-BUNDLE-NOT-FOUND"),
        (lambda root: root.mkdir(), "E-BUNDLE-NO-MANIFEST"),
        (lambda root: root.write_text("x"), "E-BUNDLE-NO-MANIFEST"),
    ],
    ids=["nothing", "folder", "file"],
)
def test_what_is_no_bundle_is_refused(tmp_path, make, code):
    make(tmp_path / "b")
    with raises(BundleError, code, str(tmp_path / "b")):
        open_bundle(tmp_path / "b")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"hello"])
def test_a_damaged_manifest_is_named_with_its_place(small_bundle, content):
    (small_bundle / MANIFEST).write_bytes(content)
    with raises(BundleError, "E-BUNDLE-DAMAGED", str(small_bundle / MANIFEST)):
        open_bundle(small_bundle)


# Writing


FULL = OSError(errno.ENOSPC, "No space left")


def _fill(draft):
    (draft / MANIFEST).write_text("new")


def _half_write(writing, error):
    """Write something, then fail."""
    with writing as draft:
        (draft / MANIFEST if draft.is_dir() else draft).write_text("ne")
        raise error


def test_a_bundle_appears_only_when_complete(tmp_path):
    root = tmp_path / "deep" / "b"
    with writing_bundle(root, force=False) as draft:
        _fill(draft)
        assert not root.exists()
    assert _contents(tmp_path) == {f"deep/b/{MANIFEST}": b"new"}


def test_others_may_read_a_bundle(tmp_path):
    with writing_bundle(tmp_path / "b", force=False) as draft:
        _fill(draft)
    assert (tmp_path / "b").stat().st_mode & 0o555 == 0o555


def test_force_replaces_a_bundle_whole(small_bundle):
    with writing_bundle(small_bundle, force=True) as draft:
        _fill(draft)
    assert _contents(small_bundle.parent) == {f"small/{MANIFEST}": b"new"}


def test_force_fills_an_empty_folder(tmp_path):
    (tmp_path / "b").mkdir()
    with writing_bundle(tmp_path / "b", force=True) as draft:
        _fill(draft)
    assert _contents(tmp_path) == {f"b/{MANIFEST}": b"new"}


def _somebodys_folder(root):
    root.mkdir()
    (root / "diary.txt").write_text("dear diary")


def _a_bundle(root):
    root.mkdir()
    (root / MANIFEST).write_text("old")


@pytest.mark.parametrize(
    ("make", "force", "code"),
    [
        (_a_bundle, False, "E-OPTION-EXISTS"),
        (_somebodys_folder, False, "E-OPTION-EXISTS"),
        (_somebodys_folder, True, "E-OPTION-NOT-REPLACED"),
        (lambda root: root.write_text("a letter"), True, "E-OPTION-NOT-REPLACED"),
    ],
)
def test_what_is_there_is_not_replaced(tmp_path, make, force, code):
    make(tmp_path / "b")
    before = _contents(tmp_path)
    with (
        raises(InputError, code, "--force"),
        writing_bundle(tmp_path / "b", force=force) as draft,
    ):
        _fill(draft)
    assert _contents(tmp_path) == before


def test_what_another_made_in_the_meantime_is_not_replaced(tmp_path):
    def meanwhile():
        with writing_bundle(tmp_path / "b", force=False) as draft:
            _fill(draft)
            _a_bundle(tmp_path / "b")

    with raises(InputError, "E-OPTION-EXISTS", "--force"):
        meanwhile()
    assert _contents(tmp_path) == {f"b/{MANIFEST}": b"old"}


def test_a_file_that_another_wrote_in_the_meantime_is_not_replaced(tmp_path):
    def meanwhile():
        with writing_file(tmp_path / "y.npz", force=False) as draft:
            draft.write_text("ours")
            (tmp_path / "y.npz").write_text("theirs")

    with raises(InputError, "E-OPTION-EXISTS", "--force"):
        meanwhile()
    assert _contents(tmp_path) == {"y.npz": b"theirs"}


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt("^C")])
def test_a_full_disk_or_a_stop_leaves_the_old_bundle_and_nothing_else(small_bundle, error):
    before = _contents(small_bundle.parent)
    with pytest.raises(type(error), match=r"No space left|\^C"):
        _half_write(writing_bundle(small_bundle, force=True), error)
    assert _contents(small_bundle.parent) == before
    assert [place.name for place in small_bundle.parent.iterdir()] == ["small"]


def test_the_old_bundle_comes_back_when_the_new_cannot_take_its_place(small_bundle, monkeypatch):
    before, rename = _contents(small_bundle), Path.rename

    def refusing(self, target):
        if self.name == drafts.NEW:
            raise FULL
        return rename(self, target)

    monkeypatch.setattr(drafts, "exchanged", lambda one, other: False)
    monkeypatch.setattr(drafts.Path, "rename", refusing)
    with (
        pytest.raises(OSError, match="No space left"),
        writing_bundle(small_bundle, force=True) as draft,
    ):
        _fill(draft)
    assert _contents(small_bundle.parent) == {f"small/{k}": v for k, v in before.items()}


def test_a_folder_that_cannot_be_moved_away_leaves_nothing_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r"busy|Invalid"), writing_bundle(".", force=True) as draft:
        _fill(draft)
    assert list(tmp_path.iterdir()) == []


def test_a_file_appears_only_when_complete(tmp_path):
    place = tmp_path / "deep" / "y.npz"
    with writing_file(place, force=False) as draft:
        draft.write_text("new")
        assert draft.suffix == ".npz"
        assert not place.exists()
    assert _contents(tmp_path) == {"deep/y.npz": b"new"}


def test_a_failed_file_leaves_the_old_one_and_nothing_else(tmp_path):
    place = tmp_path / "y.npz"
    place.write_text("old")
    with pytest.raises(OSError, match="No space left"):
        _half_write(writing_file(place, force=True), FULL)
    assert _contents(tmp_path) == {"y.npz": b"old"}
    assert list(tmp_path.iterdir()) == [place]


def test_force_does_not_replace_a_folder_with_a_file(tmp_path):
    _somebodys_folder(tmp_path / "y.npz")
    with (
        raises(InputError, "E-OPTION-NOT-REPLACED", "y.npz"),
        writing_file(tmp_path / "y.npz", force=True) as draft,
    ):
        draft.write_text("new")
    assert _contents(tmp_path) == {"y.npz/diary.txt": b"dear diary"}


def test_existing_is_refused_unless_forced(tmp_path):
    refuse_existing(tmp_path / "nothing", force=False)
    refuse_existing(tmp_path, force=True)
    with raises(InputError, "E-OPTION-EXISTS", "--force"):
        refuse_existing(tmp_path, force=False)
