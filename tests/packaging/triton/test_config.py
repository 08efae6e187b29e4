"""config.pbtxt, read back with the names of Triton's protobuf definition."""

from rnn_deploy.packaging.triton.config import (
    config_text,
    stateful,
    stateless,
    why_not_stateful,
)
from rnn_deploy.spec import EntryPoint, StateSpec, Support, TensorSpec
from tests.support.triton_config import config_of

ROWS = Support(True, "measured")


def entry(batch="batch", **values):
    x = TensorSpec("x", (batch, "time", 3), "float32")
    state = StateSpec(TensorSpec("h_in", (batch, 4), "float32"), "h_out", "rnn", "h")
    y = TensorSpec('y"\\ü', (batch, 2), "float64")
    facts = {"chunked": Support(True), "rows": ROWS, "states": (state,)} | values
    return EntryPoint("stream", (x,), (y,), **facts)


def test_a_stateful_model():
    found = config_of(config_text(stateful("m", entry(), "onnxruntime")))
    assert (found["name"], found["backend"], found["max_batch_size"]) == ("m", "onnxruntime", 64)
    assert found["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": ["-1", "3"]}]
    assert found["output"] == [{"name": 'y"\\ü', "data_type": "TYPE_FP64", "dims": ["2"]}]
    (state,) = found["sequence_batching"]["state"]
    assert (state["input_name"], state["output_name"]) == ("h_in", "h_out")
    assert state["initial_state"][0]["zero_data"] is True
    assert state["dims"] == state["initial_state"][0]["dims"] == ["4"]
    assert "dynamic_batching" not in found


def test_the_python_backend_keeps_states_itself():
    found = config_of(config_text(stateful("m", entry(), "python")))
    assert "state" not in found["sequence_batching"]
    assert "parameters" not in found


def test_a_stateless_model_has_its_states_as_tensors():
    found = config_of(config_text(stateless("m", entry(), "onnxruntime")))
    assert [port["name"] for port in found["input"]] == ["x", "h_in"]
    assert found["dynamic_batching"] == {}


def test_a_fixed_batch_is_not_batched():
    found = config_of(config_text(stateless("m", entry(batch=2), "onnxruntime")))
    assert found["max_batch_size"] == 0
    assert found["input"][0]["dims"] == ["2", "-1", "3"]


def test_what_cannot_be_stateful():
    assert why_not_stateful(entry()) == ""
    assert "states" in why_not_stateful(entry(states=()))
    assert "looks ahead" in why_not_stateful(entry(chunked=Support(False, "looks ahead")))
    assert "fixed batch" in why_not_stateful(entry(batch=2))
    assert "mix" in why_not_stateful(entry(rows=Support(False, "rows mix")))
