"""`rnn-deploy package`."""

import json

import pytest

from tests.support.c_bundle import c_bundle, masked_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return c_bundle(masked_model(), tmp_path_factory.mktemp("c") / "masked")


def test_a_package_is_written_and_named(bundle, tmp_path, command):
    out = tmp_path / "out"
    ended = command("package", bundle, "--for", "c", "-o", out, "--prefix", "voice", "--json")
    assert ended.code == 0, ended.err
    files = json.loads(ended.out)
    assert "voice.h" in files
    assert all((out / name).is_file() for name in files)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--for", "toaster"), "E-OPTION-PACKAGER"),
        (("--for", "c", "--prefix", "1"), "E-OPTION-PREFIX"),
    ],
)
def test_wrong_words_are_refused(bundle, tmp_path, command, words, code):
    ended = command("package", bundle, *words, "-o", tmp_path / "out")
    assert ended.code == 2
    assert f"[{code}]" in ended.err
    assert not (tmp_path / "out").exists()


def test_an_existing_package_needs_force(bundle, tmp_path, command):
    words = ("package", bundle, "--for", "c", "-o", tmp_path / "out")
    assert command(*words).code == 0
    ended = command(*words)
    assert ended.code == 2
    assert "[E-OPTION-EXISTS]" in ended.err
    assert command(*words, "--force").code == 0


def test_a_bundle_without_c_files_says_how_to_get_them(small_bundle, tmp_path, command):
    ended = command("package", small_bundle, "--for", "c", "-o", tmp_path / "out")
    assert ended.code == 2
    assert "[E-BUNDLE-NO-ARTIFACT]" in ended.err
    assert "--to c" in ended.err


@pytest.mark.parametrize("name", ["python", "cpp", "android", "ios"])
def test_starter_programs_are_written_whole_or_not_at_all(
    name, small_bundle, tmp_path, command, snapshot
):
    out = tmp_path / "out"
    words = ("package", small_bundle, "--for", name, "-o", out)
    manifest = small_bundle / "manifest.json"
    good = manifest.read_text()
    data = json.loads(good)
    for artifact in data["artifacts"]:
        for choice in artifact["choices"]:
            choice["not_on"] = ["ort-cpu", "litert"]
    manifest.write_text(json.dumps(data))
    before = snapshot()
    command(*words).refused(3, "E-RUNTIME-WRONG", "first")
    assert snapshot() == before
    manifest.write_text(good)
    ended = command(*words, "--json")
    assert ended.code == 0, ended.err
    assert all((out / path).is_file() for path in json.loads(ended.out))
    before = snapshot()
    command(*words).refused(2, "E-OPTION-EXISTS", "--force")
    assert snapshot() == before
