"""The forms of the sequence: their memory, the choice among them, and the budget of a device."""

import keras
import pytest

import rnn_deploy
from rnn_deploy.cli.export import detail_lines
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.tflite.micro.budget import MemoryBudget, budget_of
from rnn_deploy.tflite.micro.forms import chosen, over_budget
from rnn_deploy.tflite.micro.source import MicroFile
from rnn_deploy.tflite.writer import TfliteEntry
from tests.support.errors import raises
from tests.support.models import randomised

layers = keras.layers


def _details(bundle, entry):
    (artifact,) = (a for a in bundle.manifest.artifacts if a.entry == entry)
    return artifact.details


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    x = keras.Input((12, 4), name="x")
    y = layers.GRU(6, return_sequences=True, name="rnn")(x)
    model = randomised(keras.Model(x, y, name="mine"), 5, 0.4)
    place = tmp_path_factory.mktemp("micro") / "b"
    return rnn_deploy.export(model, place, to="tflite-micro", long=0, budget="ram=64k,flash=256k")


def test_the_smallest_arena_is_written_and_the_others_are_shown(bundle):
    details = _details(bundle, "sequence")
    rows = details["alternatives"]
    assert {row["lowering"] for row in rows} == {"loop", "inplace", "unrolled"}
    assert all(row["arena"] > details["arena"] and row["flash"] > 0 for row in rows)
    assert details["flash"] == (bundle.root / "sequence.tflite").stat().st_size
    (choice,) = bundle.manifest.artifacts[0].choices
    assert (choice.lowering, choice.reason[:14]) == ("single", "smallest arena")
    lines = detail_lines(bundle.manifest.artifacts)
    for row in rows:
        name, arena, flash = (row[key] for key in ("lowering", "arena", "flash"))
        assert f"    alternatives: lowering {name}, arena {arena:,}, flash {flash:,}" in lines


def test_the_smallest_form_is_right(bundle):
    report = rnn_deploy.verify(bundle)
    assert report.passed
    assert {c.name for c in report.comparisons} >= {"rnn", "rnn_h_out"}


def _file(arena, flash, entry="sequence"):
    return MicroFile(entry, bytes(flash), (), (), arena, (), ())


def _chosen(sizes, **options):
    forms = {name: TfliteEntry(None, (), part=name) for name in sizes}

    def write(form):
        size = sizes[form.part]
        if isinstance(size, str):
            raise UnsupportedModelError("E-MODEL-OPERATOR", size)
        return _file(*size)

    return chosen(forms, write, ExportOptions("tflite-micro", **options))


def test_of_the_forms_that_fit_the_one_with_the_smallest_arena_is_chosen():
    sizes = {"single": (100, 90), "loop": (300, 50), "unrolled": (200, 80)}
    for budget, arena in (("", 100), ("ram=1k", 100), ("flash=80", 200), ("flash=50", 300)):
        file, fits = _chosen(sizes, budget=budget)
        assert (file.arena, fits) == (arena, True)
        assert len(file.alternatives) == 2
    assert _chosen(sizes, budget="ram=99")[1] is False
    assert _chosen({"requested": (300, 50), "single": (100, 50)})[0].arena == 300


def test_a_form_that_cannot_be_written_is_shown_unless_it_is_the_only_one():
    file, _ = _chosen({"single": "no operator GATHER", "unrolled": (200, 80)})
    assert file.alternatives == ({"lowering": "single", "not possible": "no operator GATHER"},)
    for sizes in ({"single": "a"}, {"requested": "a", "single": (100, 90)}):
        with raises(UnsupportedModelError, "E-MODEL-OPERATOR", "a"):
            _chosen(sizes)


def test_a_budget_that_one_file_meets_names_it_and_none_is_refused():
    sequence, stream = _file(9000, 100), _file(500, 90, "stream")
    (note,) = over_budget("mine", MemoryBudget(ram=1024), sequence, stream)
    assert note.startswith("sequence.tflite")
    assert "stream.tflite" in note
    assert over_budget("mine", MemoryBudget(), sequence, stream) == []
    assert over_budget("mine", MemoryBudget(ram=9000), sequence, None) == []
    for other in (stream, None):
        with raises(UnsupportedModelError, "E-MODEL-BUDGET", "ram 99 B", "9,000 B", "--time N"):
            over_budget("mine", MemoryBudget(ram=99), sequence, other)


def test_budgets_are_numbers_of_bytes():
    assert budget_of("ram=64k,flash=1M") == MemoryBudget(65536, 1 << 20)
    assert budget_of("flash=100") == MemoryBudget(None, 100)
    assert not budget_of("")
    assert MemoryBudget(100, 50).fits(100, 50)
    assert not MemoryBudget(100, 50).fits(101, 50)
    assert not MemoryBudget(100, 50).fits(100, 51)


@pytest.mark.parametrize("text", ["64k", "ram=x", "ram=0", "rom=1k", "ram=1k,ram=2k", "ram=-1"])
def test_a_budget_that_cannot_be_read_is_refused(text):
    with raises(InputError, "E-EXPORT-BUDGET", text, "ram=64k,flash=256k"):
        ExportOptions("tflite-micro", budget=text)


def test_a_budget_is_for_microcontrollers_only():
    with raises(InputError, "E-EXPORT-OPTION-UNUSED", "--budget", "tflite-micro"):
        ExportOptions("onnx", budget="ram=64k")
