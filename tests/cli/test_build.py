import keras
import numpy as np
import pytest

from rnn_deploy.keras.opening import open_model

GOOD = """
import keras

def build_model():
    keras.utils.set_random_seed(3)
    x = keras.Input((None, 3), name="x")
    return keras.Model(x, keras.layers.SimpleRNN(2, name="rnn")(x), name="built")

def other():
    x = keras.Input((3,), name="x")
    return keras.Model(x, keras.layers.Dense(2)(x), name="other")
"""


@pytest.fixture
def build(command, tmp_path):
    """Build the model of a file with this text, called model.py."""

    def run(text, *words, function="", output="m.keras"):
        (tmp_path / "model.py").write_bytes(text if isinstance(text, bytes) else text.encode())
        return command(
            "build", f"{tmp_path / 'model.py'}{function}", "-o", tmp_path / output, *words
        )

    return run


@pytest.mark.parametrize("output", ["m.keras", "m.h5", "deep/m.keras"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_the_model_of_the_file_is_saved(build, tmp_path, output):
    ended = build(GOOD, output=output)
    assert (ended.code, ended.out) == (0, "")
    assert f"wrote {tmp_path / output}: model 'built', 12 parameters" in ended.err
    model = open_model(tmp_path / output).model
    keras.utils.set_random_seed(3)
    fresh = keras.layers.SimpleRNN(2)
    fresh.build((None, None, 3))
    for ours, theirs in zip(model.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_function_is_called_by_name(build, tmp_path):
    assert "model 'other', 8 parameters" in build(GOOD, function=":other").err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (", ["E-SOURCE-IMPORT", "model.py", "SyntaxError: invalid syntax", "line 1"]),
        ("import no_such_module", ["E-SOURCE-IMPORT", "ModuleNotFoundError", "no_such_module"]),
        ("1 / 0", ["E-SOURCE-IMPORT", "ZeroDivisionError: division by zero"]),
        ("\0", ["E-SOURCE-IMPORT"]),
        (b"\xff", ["E-SOURCE-IMPORT"]),
        ("", ["E-SOURCE-NO-FUNCTION", "model.py", "build_model()"]),
        ("build_model = 3", ["E-SOURCE-NO-FUNCTION", "build_model()"]),
        ("def build_model(): return 3", ["E-SOURCE-NO-MODEL", "model.py", "int", "keras.Model"]),
        ("def build_model(): pass", ["E-SOURCE-NO-MODEL", "NoneType"]),
        (
            "def build_model(): raise ValueError('no data\\nat all')",
            ["E-SOURCE-BUILD", "model.py", "ValueError: no data at all", "--debug"],
        ),
        ("import sys; sys.exit(3)", ["E-SOURCE-IMPORT", "model.py", "SystemExit: 3"]),
        ("def build_model(): raise SystemExit(0)", ["E-SOURCE-BUILD", "SystemExit: 0"]),
        (
            "import keras\ndef build_model(): return keras.Sequential([keras.layers.GRU(3)])",
            ["E-SOURCE-NOT-BUILT", "model.py", "'sequential", "keras.Input"],
        ),
        ("def build_model(size): pass", ["E-SOURCE-BUILD", "TypeError: ", "'size'"]),
    ],
)
def test_a_file_that_makes_no_model_is_refused(build, tmp_path, text, words):
    build(text).refused(2, *words)
    assert [place.name for place in tmp_path.iterdir() if place.suffix] == ["model.py"]


def test_a_function_that_is_not_there_is_named(build):
    build(GOOD, function=":nope").refused(2, "E-SOURCE-NO-FUNCTION", "nope()")


@pytest.mark.parametrize("name", ["gone.py", "model.txt", "folder.py"])
def test_what_is_no_python_file_is_refused(command, tmp_path, name):
    (tmp_path / "model.txt").write_text(GOOD)
    (tmp_path / "folder.py").mkdir()
    ended = command("build", tmp_path / name, "-o", tmp_path / "m.keras")
    ended.refused(2, "E-SOURCE-NO-PYTHON", name, "build_model()")


@pytest.mark.parametrize("output", ["m.txt", "m", "m.onnx"])
def test_an_ending_keras_does_not_write_is_refused_before_the_file_runs(build, output):
    ended = build("raise SystemExit('it ran')", output=output)
    ended.refused(2, "E-OPTION-ENDING", output, ".keras", ".h5")


def test_a_model_that_is_there_is_replaced_only_by_force(build, tmp_path):
    (tmp_path / "m.keras").write_text("mine")
    build("raise SystemExit('it ran')").refused(2, "E-OPTION-EXISTS", "m.keras", "--force")
    assert (tmp_path / "m.keras").read_text() == "mine"
    assert build(GOOD, "--force").code == 0
    assert open_model(tmp_path / "m.keras").model.name == "built"


def test_a_full_disk_leaves_the_old_model(build, snapshot, disk_of, tmp_path):
    (tmp_path / "m.keras").write_text("of yesterday")
    (tmp_path / "model.py").write_text(GOOD)
    before = snapshot()
    with disk_of(2_000):
        ended = build(GOOD, "--force")
    ended.refused(2, "File too large")
    assert {k: v for k, v in snapshot().items() if "__pycache__" not in k} == before


def test_two_files_of_one_name_do_not_mix(command, tmp_path):
    for folder, units in (("a", 2), ("b", 5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.py").write_text(
            GOOD.replace("SimpleRNN(2", f"SimpleRNN({units}")
        )
        ended = command("build", tmp_path / folder / "model.py", "-o", tmp_path / f"{folder}.keras")
        assert ended.code == 0
    units = [open_model(tmp_path / f"{n}.keras").model.get_layer("rnn").units for n in "ab"]
    assert units == [2, 5]
