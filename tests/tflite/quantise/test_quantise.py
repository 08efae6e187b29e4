"""Quantised TFLite files: what is quantised, that nothing else changes, and what is refused."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import rnn_deploy
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.plan import plan_of, with_chunks
from rnn_deploy.exporting.real_inputs import calibration_cases
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.references.golden import References
from rnn_deploy.references.reference import Reference
from rnn_deploy.spec import Support
from rnn_deploy.tflite import writer as tflite
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.format import TfliteLoweringRequest
from rnn_deploy.tflite.quantise import quantise as quantisation
from rnn_deploy.tflite.quantise.calibration import feeds_by_entry
from rnn_deploy.tflite.quantise.quantise import quantised
from rnn_deploy.tflite.quantise.recurrent_weights import kept_as, operator_names, recurrent_weights
from tests.support import worker_calls
from tests.support.errors import raises
from tests.support.models import randomised

layers = keras.layers
CALLS = worker_calls.__name__
# Signal to noise that each mode must keep, in dB; measured: 74, 43, 31 and 50.
KEPT = {"float16": 66.0, "dynamic-int8": 34.0, "int8": 22.0, "int16x8": 42.0}


@pytest.fixture(scope="module")
def made():
    """A GRU under an LSTM: plan, references, float file, calibration cases, feeds."""
    x = keras.Input((None, 5), name="x")
    y = layers.GRU(12, return_sequences=True, name="first")(x)
    y = layers.Dense(3, activation="softmax", name="y")(layers.LSTM(9, name="second")(y))
    model = randomised(keras.Model(x, y, name="mine"), 3, 0.3)
    plan = with_chunks(plan_of(model, ExportOptions()), Support(True))
    parts = tflite.parts_of(plan, TfliteLoweringRequest())
    entries = [part.entry for part in parts]
    references = References(
        *(Reference(model, plan.stream.entry, dtype) for dtype in ("float32", "float64"))
    )
    rng = np.random.default_rng(1)
    data = {"x": rng.standard_normal((20, 11, 5)).astype(np.float32)}
    cases = calibration_cases(data, references, entries[:2])
    feeds = feeds_by_entry(cases, entries, references)
    kernels = [layer.recurrent_kernel for layer in plan.sequence.trace.layers]
    return plan, references, tflite.convert(model, parts), cases, feeds, kernels


@pytest.fixture(scope="module")
def small(made):
    """The quantised files by mode."""
    *_, content, _, feeds, kernels = made
    return {mode: quantised(content, mode, feeds, kernels=kernels, model="mine") for mode in KEPT}


def run(content, signature, feeds):
    return Interpreter(model_content=content).get_signature_runner(signature)(**feeds)


def decibels(found, truth):
    return 10 * np.log10(np.sum(truth**2) / np.sum((found - truth) ** 2))


@pytest.mark.parametrize("mode", KEPT)
@pytest.mark.parametrize("steps", [1, 3, 11])
def test_every_output_and_state_keeps_its_signal(made, small, mode, steps):
    _, references, *_ = made
    case = made[3][0]
    states = {
        f"{state}_in": case.reference[f"{state}_out"][::-1].copy()
        for state in ("first_h", "second_h", "second_c")
    }
    feeds = {"x": case.feeds["x"][:, :steps], **states}
    truth = references.oracle.run(feeds)
    names = ["stream", *(["step"] if steps == 1 else [])]
    for found in (run(small[mode].content, name, feeds) for name in names):
        assert set(found) == set(truth)
        for name, value in found.items():
            assert value.dtype == np.float32
            assert decibels(value, truth[name]) > KEPT[mode], name
    alone = run(small[mode].content, "sequence", {"x": feeds["x"]})
    assert decibels(alone["y"], references.oracle.run({"x": feeds["x"]})["y"]) > KEPT[mode]


@pytest.mark.parametrize(("mode", "saved"), [("float16", 2), ("dynamic-int8", 3), ("int16x8", 3)])
def test_all_weights_are_quantised_and_shared(made, small, mode, saved):
    plan, content, kernels = made[0], made[2], made[-1]
    found = small[mode]
    assert found.recurrent == found.recurrent_all >= 2
    matrices = sum(w.size for w in plan.model.get_weights() if w.ndim == 2 and w.shape[0] > 2)
    assert found.float_bytes - found.weight_bytes >= saved * matrices
    weights = recurrent_weights(unpacked(content), kernels)
    wanted = "FLOAT16" if mode == "float16" else "INT8"
    assert {kept_as(unpacked(found.content), place) for place in weights} == {wanted}
    assert sum(kernel.size for kernel in kernels) == sum(
        np.prod(unpacked(content).subgraphs[g].tensors[t].shape) for g, t in weights
    )


def test_names_and_signatures_stay_those_of_the_float_file(made, small):
    def said(content):
        signatures = Interpreter(model_content=content).get_signature_list()
        return {name: (set(s["inputs"]), set(s["outputs"])) for name, s in signatures.items()}

    assert set(said(made[2])) == {"sequence", "stream", "step"}
    for found in small.values():
        assert said(found.content) == said(made[2])


def test_the_same_file_is_quantised_to_the_same_bytes(made, small):
    *_, content, _, feeds, kernels = made
    again = quantised(content, "int8", feeds, kernels=kernels, model="mine")
    assert again.content == small["int8"].content


@pytest.fixture(scope="module")
def tokens():
    """An Embedding under two SimpleRNNs, the second by an operator that the quantiser leaves."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    y = layers.Embedding(50, 8, name="table")(ids)
    y = layers.SimpleRNN(9, return_sequences=True, name="first")(y)
    y = layers.SimpleRNN(4, name="second")(y)
    model = randomised(keras.Model(ids, y, name="tokens"), 5, 0.3)
    plan = with_chunks(plan_of(model, ExportOptions()), Support(True))
    parts = tflite.parts_of(plan, TfliteLoweringRequest(by_layer={"second": "fused"}))
    kernels = [layer.recurrent_kernel for layer in plan.sequence.trace.layers]
    data = np.random.default_rng(2).integers(0, 50, (6, 7)).astype(np.int32)
    feeds = {"ids": data}
    state = {f"{n}_h_in": np.zeros((6, u), "f") for n, u in (("first", 9), ("second", 4))}
    step = {"ids": data[:, :1], **state}
    given = {"sequence": [feeds], "stream": [feeds | state], "step": [step]}
    return model, tflite.convert(model, parts), given, kernels


@pytest.mark.parametrize(("mode", "kept", "saved"), [("float16", 66, 2), ("dynamic-int8", 34, 3)])
def test_the_table_of_an_embedding_is_quantised_and_what_is_not_is_reported(
    tokens, mode, kept, saved
):
    model, content, feeds, kernels = tokens
    found = quantised(content, mode, feeds, kernels=kernels, model="tokens")
    assert found.float_bytes - found.weight_bytes >= saved * (50 * 8 + 9 * 9)
    (note,) = found.notes
    assert note.startswith(f"{4 * (9 * 4 + 4 * 4):,} B of weights stay float32 under --quantize")
    assert "(4, 9) of UNIDIRECTIONAL_SEQUENCE_RNN, (4, 4) of UNIDIRECTIONAL_SEQUENCE_RNN" in note
    (case,) = feeds["sequence"]
    (output,) = run(found.content, "sequence", case).values()
    assert decibels(output, np.asarray(model(case["ids"]))) > kept


def test_a_large_file_is_quantised_too():
    """Its data lie behind the flatbuffer, where the quantiser puts them."""
    x = keras.Input((None, 64), name="x")
    model = randomised(keras.Model(x, layers.SimpleRNN(256, name="rnn")(x), name="large"), 6, 0.05)
    plan = with_chunks(plan_of(model, ExportOptions()), Support(True))
    content = tflite.convert(model, tflite.parts_of(plan, TfliteLoweringRequest()))
    kernels = [layer.recurrent_kernel for layer in plan.sequence.trace.layers]
    found = quantised(content, "float16", {}, kernels=kernels, model="large")
    assert len(content) / len(found.content) > 1.8
    x = np.random.default_rng(7).standard_normal((2, 12, 64)).astype(np.float32)
    (output,) = run(found.content, "sequence", {"x": x}).values()
    assert decibels(output, np.asarray(model(x))) > KEPT["float16"]


def test_a_file_that_is_quantised_whole_says_nothing(small):
    assert [found.notes for found in small.values()] == [()] * len(KEPT)


def _refused(made, code, *names):
    *_, content, _, feeds, kernels = made
    with raises(UnsupportedModelError, code, "model 'mine'", "int8", *names) as caught:
        quantised(content, "int8", feeds, kernels=kernels, model="mine")
    assert "\n" not in str(caught.value)


def test_a_quantiser_that_changes_nothing_is_an_error(made, monkeypatch):
    monkeypatch.setattr(quantisation, "WORKER", f"{CALLS}:first_argument")
    *_, content, _, feeds, kernels = made
    with raises(UnsupportedModelError, "E-MODEL-NOT-QUANTISED", "2 recurrent weights"):
        quantised(content, "int8", feeds, kernels=kernels, model="mine")


@pytest.mark.parametrize(
    ("call", "time_limit", "code", "name"),
    [
        ("kills_itself", 60, "E-RUNTIME-CRASHED", "SIGSEGV"),
        ("raises_value_error", 60, "E-RUNTIME-FAILED", "ValueError: no such operator"),
        ("sleeps", 1, "E-RUNTIME-HUNG", "1 s"),
    ],
)
def test_a_quantiser_without_a_result_is_one_line(made, monkeypatch, call, time_limit, code, name):
    monkeypatch.setattr(quantisation, "WORKER", f"{CALLS}:{call}")
    monkeypatch.setattr(quantisation, "TIME_LIMIT", time_limit)
    _refused(made, code, name)


def test_what_gives_int8_reads_int8_where_an_output_is_read_within(tmp_path):
    """Else LiteRT writes past the end of a tensor, and the process ends."""
    x = keras.Input((None, 3), name="x")
    model = randomised(keras.Model(x, layers.LSTM(4, return_sequences=True, name="rnn")(x)))
    real = np.random.default_rng(2).standard_normal((32, 9, 3)).astype(np.float32)
    options = {"to": ("tflite",), "quantize": "int8", "calibration": {"x": real}, "long": 0}
    content = (
        rnn_deploy.export(model, tmp_path / "b", **options).root / "model.tflite"
    ).read_bytes()
    file = unpacked(content)
    for graph in file.subgraphs:
        for operator, name in zip(graph.operators, operator_names(file, graph), strict=True):
            kinds = {graph.tensors[t].type for t in (operator.inputs[0], operator.outputs[0])}
            assert name != "RESHAPE" or len(kinds) == 1
    zero = np.zeros((32, 4), np.float32)
    found = run(content, "step", {"x": real[:, :1], "rnn_h_in": zero, "rnn_c_in": zero})
    expected = np.asarray(model(real[:, :1]))
    assert decibels(found["rnn"], expected) > KEPT["int8"]
    assert decibels(found["rnn_h_out"], expected[:, 0]) > KEPT["int8"]


@pytest.mark.parametrize(("mode", "lowering"), [("int8", "loop"), ("dynamic-int8", "inplace")])
def test_products_and_outputs_share_no_scale(mode, lowering, tmp_path):
    """In place they share a buffer, which int8 gives one scale: some 15 dB of every output."""
    x = keras.Input((None, 3), name="x")
    y = layers.SimpleRNN(5, return_sequences=True, name="first")(x)
    model = randomised(keras.Model(x, layers.SimpleRNN(4, return_sequences=True, name="y")(y)))
    data = {"x": np.random.default_rng(0).standard_normal((12, 9, 3)).astype(np.float32)}
    given = {"calibration": data} if mode == "int8" else {}
    bundle = rnn_deploy.export(model, tmp_path / "b", to=("tflite",), quantize=mode, **given)
    of_sequences = [a for a in bundle.manifest.artifacts if a.entry in ("sequence", "stream")]
    assert {c.lowering for a in of_sequences for c in a.choices} == {lowering}
    assert all(cost.snr_db > 28 for cost in bundle.manifest.quantisation.costs)
