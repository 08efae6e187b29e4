"""`rnn-deploy generate`: text in, text out."""

import html
import json

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.cli import main
from rnn_deploy.errors import InputError
from rnn_deploy.inference.vocabulary import Vocabulary, read_vocabulary, source_values, token_id
from rnn_deploy.spec import TensorSpec
from tests.support.errors import raises

WORDS = [*("<pad>", "<start>", "<end>"), *"abcdefgh"]


@pytest.fixture
def vocabularies(tmp_path):
    """The files of the source's and of the target's vocabulary."""
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("\n".join(WORDS) + "\n")
    target.write_text("\n".join(WORDS[:9]) + "\n")
    return str(source), str(target)


def run(capsys, *args):
    with pytest.raises(SystemExit) as ended:
        main(["generate", *map(str, args)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_text_becomes_text(capsys, translator_bundle, vocabularies):
    source, target = vocabularies
    options = ("--vocabulary", target, "--source-vocabulary", source, "--start", "<start>")
    code, out, err = run(
        capsys, translator_bundle.root, "abc", "hg", *options, "--end", "<end>", "--max-steps", 5
    )
    with rnn_deploy.load(translator_bundle) as model:
        found = model.generate([[3, 4, 5], [10, 9]], start=1, end=2, max_steps=5)
    assert code == 0
    assert out.splitlines() == ["".join(WORDS[i] for i in each.ids) for each in found]
    assert ("--max-steps" in err) == any(not each.ended for each in found)


def test_ids_and_json_with_all_beams_and_attention(capsys, translator_bundle, tmp_path):
    lines = tmp_path / "sources.txt"
    lines.write_text("3 4 5\n10 9\n")
    options = ("--start", 1, "--end", 2, "--max-steps", 4, "--strategy", "beam", "--beams", 2)
    code, out, _ = run(capsys, translator_bundle.root, "--inputs", lines, *options, "--json")
    with rnn_deploy.load(translator_bundle) as model:
        found = model.generate(
            [[3, 4, 5], [10, 9]], start=1, end=2, max_steps=4, strategy="beam", beams=2
        )
    facts = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [each["ids"] for each in facts] == [list(each.ids) for each in found]
    assert [each["score"] for each in facts] == pytest.approx([each.score for each in found])
    assert [len(each["others"]) for each in facts] == [1, 1]


def test_a_page_shows_sources_and_attention(capsys, translator_bundle, vocabularies, tmp_path):
    source, target = vocabularies
    options = ("--vocabulary", target, "--source-vocabulary", source, "--start", "<start>")
    page = tmp_path / "page.html"
    args = (translator_bundle.root, "abc", *options, "--max-steps", 3, "--html", page)
    code, out, err = run(capsys, *args)
    assert (code, f"wrote {page}" in err) == (0, True)
    text = page.read_text(encoding="utf-8")
    assert f"abc → {html.escape(out.strip())}" in text
    assert text.count('<th scope="row">') == 3
    assert text.count('<th scope="col">') == 3
    assert run(capsys, *args)[0] == 2  # it exists
    assert run(capsys, *args, "--force")[0] == 0


def test_sources_come_from_an_array_file(capsys, translator_bundle, tmp_path):
    np.savez(tmp_path / "x.npz", source=np.array([[3, 4, 5]], np.int32))
    code, out, _ = run(capsys, translator_bundle.root, "--inputs", tmp_path / "x.npz", "--start", 1)
    assert code == 0
    assert len(out.split()) == 100


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((), "E-OPTION-NEEDS"),
        (("abc", "--start", "1"), "E-GENERATE-UNKNOWN-TOKEN"),
        (("3 4", "--start", "<start>"), "E-GENERATE-UNKNOWN-TOKEN"),
        (("3 4", "--start", "99"), "E-GENERATE-TOKEN"),
        (("3 99", "--start", "1"), "E-INPUT-VOCABULARY"),
        (("3 4", "--source-vocabulary", "v.txt"), "E-OPTION-NEEDS"),
        (("3 4", "--vocabulary", "missing.txt"), "E-DATA-NOT-FOUND"),
        (("--inputs", "missing.txt"), "E-DATA-NOT-FOUND"),
    ],
)
def test_wrong_arguments_end_with_2(capsys, translator_bundle, args, code):
    status, out, err = run(capsys, translator_bundle.root, *args)
    assert (status, out) == (2, "")
    assert code in err


def test_a_vocabulary_splits_and_joins(tmp_path):
    words = Vocabulary(("<pad>", "a", "b c"), "words")
    assert words.ids_of("a  a") == [1, 1]
    assert words.text_of([1, 2, 7]) == "a b c <7>"
    (tmp_path / "v.txt").write_text("a\nb\na\n")
    with raises(InputError, "E-GENERATE-VOCABULARY"):
        read_vocabulary(tmp_path / "v.txt", "words")
    (tmp_path / "v.txt").write_bytes(b"\xff\xfe")
    with raises(InputError, "E-DATA-DAMAGED"):
        read_vocabulary(tmp_path / "v.txt", "words")


@pytest.mark.parametrize(
    ("word", "tokens", "found"),
    [
        ("2", ("<pad>", "a", "b"), 2),
        ("a", ("<pad>", "a", "b"), 1),
        ("1", ("0", "1"), 1),  # the id of the token that is so called
        ("id=1", ("<pad>", "a", "b", "1"), 1),
        ("id=7", None, 7),
        ("7", None, 7),
    ],
)
def test_an_option_names_a_token_or_an_id(word, tokens, found):
    assert token_id(word, tokens and Vocabulary(tokens), "--start") == found


@pytest.mark.parametrize(
    ("word", "tokens", "code"),
    [
        ("1", ("<pad>", "a", "b", "1"), "E-GENERATE-AMBIGUOUS"),
        ("c", ("<pad>", "a"), "E-GENERATE-UNKNOWN-TOKEN"),
        ("id=a", ("<pad>", "a"), "E-GENERATE-UNKNOWN-TOKEN"),
        ("a", None, "E-GENERATE-UNKNOWN-TOKEN"),
    ],
)
def test_a_word_that_is_a_token_and_an_id_or_neither_is_refused(word, tokens, code):
    with raises(InputError, code, word):
        token_id(word, tokens and Vocabulary(tokens), "--start")


def test_sources_become_one_hot_vectors_where_the_model_takes_them():
    tensor = TensorSpec("x", ("batch", "time", 4), "float32")
    (row,) = source_values([[3, 0]], tensor)
    np.testing.assert_array_equal(row, [[0, 0, 0, 1], [1, 0, 0, 0]])
    with pytest.raises(InputError) as caught:
        source_values([[4]], tensor)
    assert caught.value.code == "E-GENERATE-VOCABULARY"
