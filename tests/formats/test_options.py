"""Options of an export: defaults, those that formats declare, and what is refused."""

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import PlanConstraints
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.registry import default_formats
from tests.support.errors import raises

DATA = {"x": np.ones((2, 3, 4), np.float32)}


def names(options):
    return tuple(format.name for format in options.formats)


def test_without_a_format_the_default_ones_are_written():
    assert names(ExportOptions()) == names(ExportOptions(())) == default_formats()
    assert default_formats() == ("onnx", "tflite")


def test_formats_are_taken_once_and_in_one_order():
    assert names(ExportOptions(["tflite", "onnx", "tflite"])) == ("onnx", "tflite")
    assert names(ExportOptions("tflite")) == ("tflite",)


def test_an_option_of_a_format_has_its_value_or_its_default():
    options = ExportOptions("onnx", opset=20)
    assert (options["opset"], options["profile"], options["tflite_lowering"]) == (20, "ort", "auto")


@pytest.mark.parametrize("value", ["auto", ("auto",), ()])
def test_a_default_may_be_given_whatever_the_formats(value):
    assert ExportOptions("tflite", lowering=value)["lowering"] == "auto"


def test_only_options_that_need_the_layers_are_named():
    options = ExportOptions(time=3, opset=18, test_data=True, tflite_lowering="loop", seed=4)
    assert options.for_layers == ("--tflite-lowering", "--time")


def test_a_format_may_constrain_the_plan():
    assert ExportOptions().constraints == PlanConstraints()
    assert ExportOptions("tflite-micro").constraints == PlanConstraints(1, True, True)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"to": ("onnx", "coreml")}, "E-FORMAT-UNKNOWN", ["'coreml'", "onnx, tflite"]),
        ({"to": ("onnx", "tflite-micro")}, "E-FORMAT-ALONE", ["tflite-micro", "onnx"]),
        ({"time": 0}, "E-EXPORT-NUMBER", ["--time 0"]),
        ({"time": -3}, "E-EXPORT-NUMBER", ["--time -3"]),
        ({"long": -1}, "E-EXPORT-NUMBER", ["--long -1"]),
        ({"state": "freeze"}, "E-EXPORT-CHOICE", ["--state freeze", "input, reset, keep"]),
        ({"profile": "moon"}, "E-EXPORT-CHOICE", ["moon", "ort, openvino, portable"]),
        ({"quantize": "int4"}, "E-EXPORT-CHOICE", ["int4", "none, float16"]),
        ({"quantize": "int8"}, "E-EXPORT-CALIBRATION-MISSING", ["--calibration DATA.npz"]),
        ({"calibration": DATA}, "E-EXPORT-CALIBRATION-UNUSED", ["--quantize"]),
        ({"evaluate": DATA}, "E-EXPORT-CALIBRATION-UNUSED", ["--evaluate"]),
        ({"to": "onnx", "quantize": "float16"}, "E-EXPORT-OPTION-UNUSED", ["--to tflite"]),
        ({"to": "tflite", "profile": "portable"}, "E-EXPORT-OPTION-UNUSED", ["--to onnx"]),
        ({"to": "onnx", "tflite_lowering": "loop"}, "E-EXPORT-OPTION-UNUSED", ["--to tflite"]),
        ({"depth": 3}, "E-EXPORT-OPTION-UNKNOWN", ["'depth'", "opset"]),
        ({"target": "openvino"}, "E-OPTION-RENAMED", ["--profile openvino"]),
        ({"target": "tflite-micro"}, "E-OPTION-RENAMED", ["--to tflite-micro"]),
        ({"opset": 16}, "E-EXPORT-OPSET", ["16", "17", "22"]),
        ({"lowering": "fused"}, "E-EXPORT-LOWERING-UNKNOWN", ["fused", "native"]),
        ({"lowering": {"a": "fused"}}, "E-EXPORT-LOWERING-UNKNOWN", ["fused"]),
        ({"tflite_lowering": ["scan"]}, "E-EXPORT-LOWERING-UNKNOWN", ["scan", "inplace"]),
        ({"expect": "1x1", "profile": "openvino"}, "E-EXPORT-EXPECT-UNUSED", ["--profile ort"]),
    ],
)
def test_options_that_do_not_fit_are_refused(options, code, words):
    with raises(InputError, code, *words):
        ExportOptions(**options)


def test_export_refuses_them_before_it_opens_the_model(tmp_path):
    with raises(InputError, "E-OPTION-RENAMED", "--profile openvino"):
        rnn_deploy.export(tmp_path / "missing.keras", tmp_path / "b", target="openvino")
