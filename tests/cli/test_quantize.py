"""`--quantize` on the command line: what it says, what verify and inspect make of it."""

import json

import numpy as np


def test_a_quantised_export_says_what_it_cost(command, small_keras, tmp_path):
    rng = np.random.default_rng(0)
    data = tmp_path / "data.npz"
    np.savez(data, x=rng.standard_normal((12, 9, 3)).astype(np.float32))
    place = tmp_path / "b"
    made = command("export", small_keras, "-o", place, "--quantize", "int8", "--calibration", data)
    assert made.code == 0
    assert "tflite quantised to int8: 2 of 2 recurrent weights, all weights " in made.err
    assert "golden vectors and 12 sequences of calibration data" in made.err
    for name in ("output 'y'", "state 'first_h_out'", "state 'second_h_out'"):
        assert f"    {name}: " in made.err
    assert "labels changed" in made.err

    verified = command("verify", place)
    assert verified.code == 0
    assert "litert: quantised to int8; budgets are 3 times the largest errors" in verified.err
    assert "quantised to int8: 2 of 2 recurrent weights" in command("inspect", place).out
    told = json.loads(command("inspect", place, "--json").out)["quantisation"]
    assert told["mode"] == "int8"
    assert {cost["tensor"] for cost in told["costs"]} == {"y", "first_h_out", "second_h_out"}
    command("verify", place, "--against", small_keras).refused(2, "--against", "int8", "calibrated")


def test_int8_without_calibration_is_refused(command, small_keras, tmp_path):
    words = ("export", small_keras, "-o", tmp_path / "b", "--quantize", "int8")
    command(*words).refused(2, "--quantize int8", "--calibration")
    assert not (tmp_path / "b").exists()


def test_a_savedmodel_is_not_quantised(command, tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.f = tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec([None, 2], name="x")])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.f)
    words = ("export", tmp_path / "saved", "-o", tmp_path / "b", "--quantize", "float16")
    command(*words).refused(4, "--quantize")
