"""`--quantize` on the command line: what it says, what verify and inspect make of it."""

import json

import numpy as np

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.appraisal import file_report


def test_a_quantised_export_says_what_it_cost(command, small_keras, tmp_path):
    rng = np.random.default_rng(0)
    data = tmp_path / "data.npz"
    np.savez(data, x=rng.standard_normal((12, 9, 3)).astype(np.float32))
    place = tmp_path / "b"
    held_out = tmp_path / "held-out.npz"
    np.savez(held_out, x=rng.standard_normal((5, 9, 3)).astype(np.float32))
    words = ("--quantize", "int8", "--calibration", data, "--evaluate", held_out)
    made = command("export", small_keras, "-o", place, *words)
    assert made.code == 0
    assert "tflite quantised to int8: 2 of 2 recurrent weights, all weights " in made.err
    assert "golden vectors and 12 sequences of calibration data" in made.err
    for name in ("output 'y'", "state 'first_h_out'", "state 'second_h_out'"):
        assert f"    {name}: " in made.err
    assert "labels changed" in made.err
    shown = command("inspect", place).out
    for text in (made.err, shown):
        assert "by model file, on 5 held-out sequences (--evaluate):" in text
        for file in ("sequence", "stream"):
            assert f"model.tflite, signature {file}: output 'y': " in text
    assert "held out" not in made.err.replace("held-out", "")
    report = file_report(open_bundle(place).manifest)
    labels = [c.labels for each in report.files for c in each.costs if c.labels]
    assert labels == [5 * 9]  # of whole sequences alone, and of no golden vector

    verified = command("verify", place)
    assert verified.code == 0
    assert "litert: quantised to int8; budgets are 3 times the largest errors" in verified.err
    assert "quantised to int8: 2 of 2 recurrent weights" in command("inspect", place).out
    told = json.loads(command("inspect", place, "--json").out)["quantisation"]
    assert told["mode"] == "int8"
    assert {cost["tensor"] for cost in told["costs"]} == {"y", "first_h_out", "second_h_out"}
    command("verify", place, "--against", small_keras).refused(
        2, "[E-VERIFY-INT8-INPUTS]", "--against"
    )


def test_float16_from_export_to_run(command, small_keras, tmp_path):
    place, data, found = tmp_path / "b", tmp_path / "x.npz", tmp_path / "y.npz"
    made = command("export", small_keras, "-o", place, "--quantize", "float16", "--long", "0")
    assert made.code == 0
    assert "tflite quantised to float16: 2 of 2 recurrent weights, all weights " in made.err
    assert "stay float32" not in made.err
    verified = command("verify", place)
    assert verified.code == 0
    assert "litert: quantised to float16; budgets are 3 times" in verified.err

    x = np.random.default_rng(3).standard_normal((4, 6, 3)).astype(np.float32)
    np.savez(data, x=x)
    outputs = {}
    for runtime in ("litert", "ort-cpu"):
        words = ("run", place, "--inputs", data, "--runtime", runtime, "-o", found, "--force")
        assert command(*words).code == 0
        with np.load(found) as file:
            outputs[runtime] = file["y"]
    assert outputs["litert"].dtype == np.float32
    off = np.abs(outputs["litert"] - outputs["ort-cpu"]).max()
    assert 1e-6 < off < 2e-3  # float16 is in it, and no more than that


def test_int8_without_calibration_is_refused(command, small_keras, tmp_path):
    words = ("export", small_keras, "-o", tmp_path / "b", "--quantize", "int8")
    command(*words).refused(2, "[E-EXPORT-CALIBRATION-MISSING]", "--quantize int8", "--calibration")
    assert not (tmp_path / "b").exists()


def test_a_savedmodel_is_not_quantised(command, tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.f = tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec([None, 2], name="x")])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.f)
    words = ("export", tmp_path / "saved", "-o", tmp_path / "b", "--quantize", "float16")
    command(*words).refused(4, "[E-SOURCE-SAVED-MODEL-OPTION]", "--quantize")
