"""onnxruntime-web is taken only in the pinned version, from wherever it comes."""

import io
import subprocess
import tarfile

import pytest

from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.runtimes.ort_web import npm_package
from rnn_deploy.runtimes.ort_web.npm_package import MODULE, WASM, cached_files, ort_web_files
from tests.support.errors import raises

CONTENT = {MODULE: b"the module", WASM: b"the code"}


@pytest.fixture(autouse=True)
def pinned(monkeypatch, tmp_path):
    """Pin small files, and use an empty cache."""
    monkeypatch.setenv("RNN_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(npm_package, "SHA256", hashes(CONTENT))


def hashes(contents):
    sha256 = npm_package.hashlib.sha256
    return {name: sha256(content).hexdigest() for name, content in contents.items()}


def archive(contents):
    place = io.BytesIO()
    with tarfile.open(fileobj=place, mode="w:gz") as file:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return place.getvalue()


def pin_archive(monkeypatch, content):
    digest = npm_package.hashlib.sha512(content).digest()
    monkeypatch.setattr(npm_package, "INTEGRITY", npm_package.base64.b64encode(digest).decode())


def test_a_folder_and_an_archive_of_the_user_are_taken(tmp_path):
    dist = tmp_path / "onnxruntime-web" / "dist"
    dist.mkdir(parents=True)
    for name, content in CONTENT.items():
        (dist / name).write_bytes(content)
    (tmp_path / "web.tgz").write_bytes(archive(CONTENT))
    for place in (dist, dist.parent, tmp_path / "web.tgz"):
        files = ort_web_files(str(place))
        assert (files.module, files.wasm) == (CONTENT[MODULE], CONTENT[WASM])


@pytest.mark.parametrize(
    "content", [archive({**CONTENT, WASM: b"other"}), archive({MODULE: b"the module"}), b"no tgz"]
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "web.tgz").write_bytes(content)
    with raises(InputError, "E-OPTION-ORT-WEB", "web.tgz", npm_package.VERSION):
        ort_web_files(str(tmp_path / "web.tgz"))
    with raises(InputError, "E-OPTION-ORT-WEB", "npm pack"):
        ort_web_files(str(tmp_path / "missing"))


@pytest.mark.parametrize("npm", [None, "npm"])
def test_a_download_is_kept_in_the_cache(monkeypatch, npm):
    content = archive(CONTENT)
    pin_archive(monkeypatch, content)
    monkeypatch.setattr(npm_package.shutil, "which", lambda name: npm)
    monkeypatch.setattr(npm_package, "_by_npm", lambda: content)
    first = ort_web_files()
    monkeypatch.setattr(npm_package, "_by_npm", lambda: pytest.fail("downloaded again"))
    assert ort_web_files() == first == cached_files()


def test_an_altered_download_is_refused_and_not_kept(monkeypatch):
    pin_archive(monkeypatch, archive(CONTENT))
    monkeypatch.setattr(npm_package, "_by_npm", lambda: archive({**CONTENT, WASM: b"other"}))
    with raises(RuntimeUnavailableError, "E-RUNTIME-ORT-WEB", "SHA-512"):
        ort_web_files()
    assert cached_files() is None


def test_without_a_network_the_message_says_how_to_get_it(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(npm_package.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(npm_package.subprocess, "run", offline)
    with raises(RuntimeUnavailableError, "E-RUNTIME-ORT-WEB", "no route", "--onnxruntime-web"):
        ort_web_files()


def test_without_npm_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(npm_package.shutil, "which", lambda name: None)
    with raises(RuntimeUnavailableError, "E-RUNTIME-ORT-WEB", "Node.js", "--onnxruntime-web"):
        ort_web_files()


def test_what_npm_says_is_shown(monkeypatch):
    ended = subprocess.CompletedProcess([], 1, "", "npm error code E404\n")
    monkeypatch.setattr(npm_package.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(npm_package.subprocess, "run", lambda *_, **__: ended)
    with raises(RuntimeUnavailableError, "E-RUNTIME-ORT-WEB", "E404"):
        ort_web_files()


def test_a_damaged_cache_is_downloaded_again(monkeypatch):
    content = archive(CONTENT)
    pin_archive(monkeypatch, content)
    monkeypatch.setattr(npm_package, "_by_npm", lambda: content)
    files = ort_web_files()
    (npm_package.cache_folder() / WASM).write_bytes(b"damaged")
    assert cached_files() is None
    assert ort_web_files() == files == cached_files()
