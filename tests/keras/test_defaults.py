"""A model file means the same whatever the environment and the settings of Keras say."""

import json
import os
import subprocess
import sys

import keras
import pytest

from rnn_deploy.keras.defaults import usual_defaults


def test_the_settings_of_the_user_are_put_aside_and_come_back():
    keras.config.set_image_data_format("channels_first")
    try:
        with usual_defaults():
            assert keras.config.image_data_format() == "channels_last"
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")


def test_the_environment_changes_nothing(tmp_path):
    pytest.importorskip("tf_keras")
    settings = {"floatx": "float64", "epsilon": 1e-3, "backend": "jax",
                "image_data_format": "channels_first"}  # fmt: skip
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "from rnn_deploy.keras.keras2.package import package\n"
        "from rnn_deploy.keras.tensorflow import keras, tf\n"
        "for c in (keras.config, package().backend):\n"
        "    assert (c.floatx(), c.image_data_format()) == ('float32', 'channels_last')\n"
        "    assert c.epsilon() < 1e-6\n"
        "assert tf.keras.layers.LSTM is keras.layers.LSTM\n"
        "assert keras.config.backend() == 'tensorflow'\n"
    )
    given = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax", "TF_USE_LEGACY_KERAS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **given}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
