"""Every kind of model through the whole export: artifacts, states, golden vectors, refusals.

Each model of the zoo is exported once, to ONNX and TFLite, and every output and every state on
every runtime is held against TensorFlow's float64 within 2e-6.
"""

import hashlib

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import read_cases
from rnn_deploy.errors import InputError
from rnn_deploy.exporting import bundle as exporting
from rnn_deploy.exporting.bundle import export
from rnn_deploy.exporting.plan import ExportOptions
from rnn_deploy.spec import SEQUENCE, STREAM
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.checks import BASIC
from tests.conftest import randomised, small_model

layers = keras.layers
TIGHT = 2e-6


def _x(name="x", time=None, width=3):
    return keras.Input((time, width), name=name)


def _last_and_dense():
    x = _x()
    return keras.Model(x, layers.Dense(2, name="y")(layers.SimpleRNN(4, name="rnn")(x)))


def _sequential():
    return keras.Sequential([_x(), layers.SimpleRNN(4, name="rnn"), layers.Dense(2, name="y")])


def _cell_with_state():
    x = _x()
    rnn = layers.RNN(layers.SimpleRNNCell(4), return_sequences=True, return_state=True, name="rnn")
    return keras.Model(x, list(rnn(x)))


def _last_is_the_state():
    x = _x()
    return keras.Model(x, list(layers.SimpleRNN(4, return_state=True, name="rnn")(x)))


def _backwards():
    x = _x()
    rnn = layers.SimpleRNN(
        4, go_backwards=True, return_sequences=True, return_state=True, use_bias=False, name="rnn"
    )
    return keras.Model(x, list(rnn(x)))


def _bidirectional():
    x = _x()
    both = layers.Bidirectional(layers.SimpleRNN(4, return_sequences=True, name="rnn"), name="both")
    return keras.Model(x, layers.Dense(2, name="y")(both(x)))


def _bidirectional_last_with_states():
    x = _x()
    both = layers.Bidirectional(
        layers.SimpleRNN(4, return_state=True, name="rnn"), merge_mode="sum", name="both"
    )
    return keras.Model(x, list(both(x)))


def _three_stacked():
    x = y = _x()
    for i in range(3):
        y = layers.SimpleRNN(4 + i, return_sequences=True, name=f"rnn{i}")(y)
    return keras.Model(x, layers.Dense(2, name="y")(y))


def _shared_layer():
    a, b = _x("a"), _x("b")
    rnn = layers.SimpleRNN(4, name="rnn")
    return keras.Model([a, b], layers.Dense(2, name="y")(layers.subtract([rnn(a), rnn(b)])))


def _clashing_call_names():
    x = _x(width=4)
    rnn = layers.SimpleRNN(4, return_sequences=True, name="rnn")
    return keras.Model(x, layers.SimpleRNN(4, name="rnn_2")(rnn(rnn(x))))


def _nested():
    x = inner_x = _x(width=4)
    inner = keras.Model(inner_x, layers.SimpleRNN(4, return_sequences=True, name="rnn")(inner_x))
    x = _x(width=4)
    outer = layers.SimpleRNN(3, name="rnn")(inner(inner(x)))
    return keras.Model(x, layers.Dense(2, name="y")(outer))


def _own_lengths():
    a, b = _x("a", width=3), _x("b", width=2)
    ends = [layers.SimpleRNN(4, name="one")(a), layers.SimpleRNN(5, name="two")(b)]
    return keras.Model([a, b], layers.Dense(2, name="y")(layers.concatenate(ends)))


def _tied_lengths():
    a, b = _x("a", width=3), _x("b", width=2)
    both = layers.concatenate([a, b])
    return keras.Model([a, b], layers.SimpleRNN(4, return_sequences=True, name="rnn")(both))


def _dicts():
    a, b = _x("a", width=3), _x("b", width=2)
    end = layers.concatenate([layers.SimpleRNN(4, name="r")(a), layers.SimpleRNN(4, name="s")(b)])
    outputs = {"zeta": layers.Dense(2)(end), "alpha": layers.Dense(3)(end)}
    return keras.Model({"b": b, "a": a}, outputs)


def _two_equal_outputs():
    x = _x()
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    return keras.Model(x, [y, y])


def _pass_through():
    x = _x()
    return keras.Model(x, [layers.SimpleRNN(4, name="rnn")(x), x])


def _encoder_decoder():
    a, b = _x("a", width=3), _x("b", width=2)
    _, state = layers.SimpleRNN(4, return_state=True, name="encoder")(a)
    decoded = layers.SimpleRNN(4, return_sequences=True, name="decoder")(b, initial_state=state)
    return keras.Model([a, b], layers.Dense(2, name="y")(decoded))


def _state_is_an_input():
    x, h = _x(), keras.Input((4,), name="h0")
    rnn = layers.SimpleRNN(4, return_sequences=True, return_state=True, name="rnn")
    return keras.Model([x, h], list(rnn(x, initial_state=h)))


def _fixed_time():
    x = _x(time=8)
    return keras.Model(x, layers.SimpleRNN(4, return_sequences=True, name="rnn")(x))


def _fixed_time_flattened():
    x = _x(time=8)
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    return keras.Model(x, layers.Dense(2, name="y")(layers.Flatten()(y)))


def _tokens():
    x = keras.Input((None,), dtype="int32", name="ids")
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(layers.Embedding(7, 3)(x))
    return keras.Model(x, layers.Dense(7, activation="softmax", name="y")(y))


def _everything_beside():
    x = _x()
    y = layers.BatchNormalization()(x)
    y = layers.Conv1D(4, 2, padding="causal")(y)
    y = layers.SimpleRNN(4, return_sequences=True, dropout=0.5, recurrent_dropout=0.2, name="r")(y)
    y = layers.LayerNormalization()(layers.Dropout(0.5)(y))
    return keras.Model(x, layers.Dense(2, activation="silu", name="y")(y))


def _averaged():
    x = _x()
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    return keras.Model(x, layers.Dense(2, name="y")(layers.GlobalAveragePooling1D()(y)))


def _unrolled_by_keras():
    x = _x(time=4)
    return keras.Model(x, layers.SimpleRNN(4, unroll=True, name="rnn")(x))


def _many_activations():
    x = y = _x()
    for name in ("hard_sigmoid", "silu", "softsign", "elu", "selu", "relu6", "mish", None):
        y = layers.SimpleRNN(3, activation=name, return_sequences=True, name=f"rnn_{name}")(y)
    return keras.Model(x, y)


def _names_like_states():
    x = _x("rnn_h_in")
    return keras.Model(x, layers.Dense(2, name="rnn_h_out")(layers.SimpleRNN(4, name="rnn")(x)))


def _booleans():
    x = keras.Input((None, 3), dtype="bool", name="x")
    return keras.Model(x, layers.SimpleRNN(4, name="rnn")(x))


def _half_precision():
    x = keras.Input((None, 3), dtype="float16", name="x")
    y = layers.SimpleRNN(4, return_sequences=True, dtype="mixed_float16", name="rnn")(x)
    return keras.Model(x, layers.Dense(2, dtype="mixed_float16", name="y")(y))


def _stateful():
    x = keras.Input(batch_shape=(2, None, 3), name="x")
    return keras.Model(x, layers.SimpleRNN(4, stateful=True, name="rnn")(x))


def _pictures():
    x = keras.Input((None, None, 3), name="x")
    return keras.Model(x, layers.Dense(2, name="y")(x))


# What builds the model; the layers whose states the stream carries (None: there is no stream
# entry point); whether chunks give what the whole gives.
ZOO = {
    "last step and Dense": (_last_and_dense, ["rnn"], True),
    "Sequential": (_sequential, ["rnn"], True),
    "a cell in RNN, state returned": (_cell_with_state, ["rnn"], True),
    "an output is the state": (_last_is_the_state, ["rnn"], True),
    "backwards, no bias": (_backwards, ["rnn"], False),
    "Bidirectional": (_bidirectional, ["forward_rnn", "backward_rnn"], False),
    "Bidirectional, states returned": (
        _bidirectional_last_with_states, ["forward_rnn", "backward_rnn"], False,
    ),
    "three stacked": (_three_stacked, ["rnn0", "rnn1", "rnn2"], True),
    "one layer on two inputs": (_shared_layer, ["rnn", "rnn_2"], False),
    "a layer named like a second call": (_clashing_call_names, ["rnn", "rnn_2", "rnn_2_2"], True),
    "a model in a model, twice": (_nested, ["rnn", "rnn_2", "rnn_3"], True),
    "two inputs, own lengths": (_own_lengths, ["one", "two"], False),
    "two inputs, one length": (_tied_lengths, ["rnn"], True),
    "dicts in and out": (_dicts, ["r", "s"], False),
    "two equal outputs": (_two_equal_outputs, ["rnn"], True),
    "an input passed through": (_pass_through, ["rnn"], True),
    "encoder and decoder": (_encoder_decoder, ["encoder"], False),
    "the initial state is an input": (_state_is_an_input, None, False),
    "fixed time": (_fixed_time, ["rnn"], True),
    "fixed time, flattened": (_fixed_time_flattened, None, False),
    "tokens": (_tokens, ["rnn"], True),
    "layers of every kind beside": (_everything_beside, ["r"], False),
    "averaged over time": (_averaged, ["rnn"], False),
    "unroll=True": (_unrolled_by_keras, ["rnn"], True),
    "names like those of states": (_names_like_states, ["rnn"], True),
    "booleans": (_booleans, ["rnn"], True),
    "mixed_float16": (_half_precision, ["rnn"], True),
    "stateful": (_stateful, ["rnn"], True),
    "two open axes": (_pictures, None, False),
}  # fmt: skip


def positive_variances(model):
    """Variances of BatchNormalization made positive; returns the model."""
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.abs(layer.moving_variance.numpy()) + 0.5)
    return model


@pytest.fixture(scope="module", params=ZOO, ids=lambda name: name.replace(" ", "_"))
def exported(request, tmp_path_factory):
    """A model of the zoo, its bundle, and what is expected of it."""
    build, states, chunked = ZOO[request.param]
    model = positive_variances(randomised(build(), scale=0.4))
    return model, export(model, tmp_path_factory.mktemp("zoo") / "bundle"), states, chunked


def test_every_output_and_state_is_the_original_s(exported):
    _, bundle, states, chunked = exported
    report = verify(bundle)
    assert report.passed, report.verdict
    assert {c.runtime for c in report.comparisons} >= {"ort-cpu", "litert"}
    off = [c for c in report.comparisons if not c.max_abs <= TIGHT * max(1.0, abs(c.expected))]
    assert off == []
    checked = {(c.check, c.kind) for c in report.comparisons}
    assert ("sequence", "output") in checked
    assert (("states", "state") in checked) is (states is not None)
    assert (("chunked", "state") in checked) is chunked


def test_every_state_is_followed_under_its_layer_s_name(exported):
    _, bundle, states, chunked = exported
    manifest = bundle.manifest
    if states is None:
        assert [entry.name for entry in manifest.entries] == [SEQUENCE]
        assert any("no stream entry point" in note for note in manifest.notes)
        return
    stream = manifest.entry(STREAM)
    assert [state.layer for state in stream.states] == states
    assert stream.chunked.ok is chunked
    names = [tensor.name for tensor in (*stream.all_inputs, *stream.all_outputs)]
    assert len(names) == len(set(names))


def test_golden_reference_is_what_the_model_itself_says(exported):
    model, bundle, _, _ = exported
    sequence = bundle.manifest.entry(SEQUENCE)
    if any(layer.compute_dtype != "float32" for layer in model._flatten_layers()):
        pytest.skip("the model itself computes in another precision")
    compared = 0
    for case in read_cases(bundle.checked(bundle.manifest.golden)):
        if SEQUENCE not in case.entries:
            continue
        for layer in model._flatten_layers():
            if getattr(layer, "stateful", False):
                layer.reset_state()
        given = {tensor.name: case.feeds[tensor.name] for tensor in sequence.inputs}
        if not isinstance(getattr(model, "_inputs_struct", None), dict):
            given = list(given.values()) if len(given) > 1 else next(iter(given.values()))
        found = keras.tree.flatten(model(given))
        for tensor, value in zip(sequence.outputs, found, strict=True):
            np.testing.assert_allclose(value, case.oracle[tensor.name], rtol=TIGHT, atol=TIGHT)
            compared += 1
    assert compared


def sha256s(root):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.iterdir())}


def test_the_same_model_gives_the_same_bytes(small_keras, small_bundle, tmp_path):
    first, second = sha256s(small_bundle), sha256s(export(small_keras, tmp_path / "again").root)
    assert first == second
    assert set(first) == {
        "manifest.json", "golden.npz", "proof.npz", "model.tflite", "sequence.onnx", "stream.onnx"
    }  # fmt: skip


def test_another_model_gives_other_bytes(small_bundle, tmp_path):
    first = sha256s(small_bundle)
    second = sha256s(export(small_model(seed=1), tmp_path / "other").root)
    assert all(first[name] != second[name] for name in first)


def test_another_seed_gives_other_golden_vectors_only(small_keras, tmp_path):
    options = [ExportOptions(("onnx",), seed=seed) for seed in (0, 1)]
    first, second = (sha256s(export(small_keras, tmp_path / str(o.seed), o).root) for o in options)
    assert {name for name in first if first[name] != second[name]} == {
        "golden.npz", "proof.npz", "manifest.json"
    }  # fmt: skip


def wide_model(units=300):
    x = keras.Input((None, 8), name="x")
    return randomised(keras.Model(x, layers.SimpleRNN(units, name="rnn")(x)), scale=0.05)


def test_large_weights_are_stored_once_for_both_onnx_files(tmp_path):
    bundle = export(wide_model(), tmp_path / "wide", ExportOptions(("onnx",), "native"))
    recurrent = 300 * 300 * 4
    sizes = {record.path: record.size for record in bundle.manifest.files}
    assert recurrent <= sizes["weights.bin"] < 1.2 * recurrent
    assert sizes["sequence.onnx"] < 20_000
    assert sizes["stream.onnx"] < 20_000
    assert verify(bundle).passed


def test_an_altered_weights_file_is_refused_before_a_runtime_sees_it(tmp_path):
    bundle = export(wide_model(), tmp_path / "wide", ExportOptions(("onnx",)))
    place = bundle.root / "weights.bin"
    content = bytearray(place.read_bytes())
    content[1000] ^= 1
    place.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.bin.*SHA-256 is not the manifest"):
        rnn_deploy.load(bundle, "ort-cpu")


@pytest.mark.parametrize("lowering", ["scan", "unrolled", "native"])
def test_each_lowering_of_a_fixed_length_computes_the_same(lowering, tmp_path):
    options = ExportOptions(("onnx",), lowering, time=4)
    model = randomised(keras.models.clone_model(_backwards()), scale=0.4)
    report = verify(export(model, tmp_path / "bundle", options), checks=BASIC)
    assert report.passed
    assert {c.check for c in report.comparisons} == {"sequence", "states"}
    assert max(c.max_abs for c in report.comparisons) <= TIGHT


def test_leftover_state_of_a_stateful_model_does_not_enter(tmp_path):
    model = randomised(_stateful(), scale=0.4)
    x = np.random.default_rng(5).standard_normal((2, 3, 3)).astype(np.float32)
    fresh = model(x).numpy()
    left = model.layers[1].states[0].numpy().copy()
    assert np.abs(left).max() > 0.01
    bundle = export(model, tmp_path / "bundle")
    assert np.array_equal(model.layers[1].states[0].numpy(), left)
    assert any("'rnn' is stateful" in note for note in bundle.manifest.notes)
    for runtime in ("ort-cpu", "litert"):
        found = rnn_deploy.load(bundle, runtime).predict(x)
        np.testing.assert_allclose(found, fresh, rtol=0, atol=TIGHT)


def test_samples_become_a_golden_vector(tmp_path):
    samples = {"x": np.random.default_rng(6).standard_normal((2, 9, 3)).astype(np.float32)}
    bundle = export(small_model(), tmp_path / "b", ExportOptions(("onnx",), samples=samples))
    cases = {case.name: case for case in read_cases(bundle.root / bundle.manifest.golden)}
    assert np.array_equal(cases["samples"].feeds["x"], samples["x"])
    assert len(cases) > 1
    assert verify(bundle).passed


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"z": np.zeros((1, 2, 3), np.float32)}, r"holds \['z'\], the model's inputs are \['x'\]"),
        ({}, r"holds \[\], the model's inputs are \['x'\]"),
        ({"x": np.zeros((1, 2, 4), np.float32)}, r"'x' is float32\(1, 2, 4\), the model takes x"),
        ({"x": np.zeros((1, 2, 3))}, r"'x' is float64\(1, 2, 3\)"),
        ({"x": np.zeros((1, 0, 3), np.float32)}, r"'x' is float32\(1, 0, 3\)"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export(small_model(), tmp_path / "b", ExportOptions(samples=samples))
    assert list(tmp_path.iterdir()) == []


def test_integers_that_are_no_tokens_need_samples(tmp_path):
    x = keras.Input((None, 3), dtype="int32", name="counts")
    model = randomised(keras.Model(x, layers.SimpleRNN(4, name="rnn")(x)))
    with pytest.raises(
        InputError, match=r"'counts' is int32 and does not go straight to an Embedding.*--samples"
    ):
        export(model, tmp_path / "b")
    counts = {"counts": np.arange(12, dtype=np.int32).reshape(2, 2, 3)}
    bundle = export(model, tmp_path / "b", ExportOptions(samples=counts))
    report = verify(bundle)
    assert report.passed
    assert {c.case for c in report.comparisons} == {"samples", "samples-steps", "followed"}


def test_an_output_that_exists_stays_as_it_was(tmp_path):
    place = tmp_path / "there"
    place.mkdir()
    (place / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match=r"there: exists already; add --force"):
        export(small_model(), place)
    with pytest.raises(InputError, match=r"there: exists and is not a bundle"):
        export(small_model(), place, ExportOptions(("onnx",)), force=True)
    assert [p.name for p in place.iterdir()] == ["mine.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_a_full_disk_leaves_the_old_bundle(small_bundle, monkeypatch):
    before = sha256s(small_bundle)

    def full(place, cases, source):
        place.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(place))

    monkeypatch.setattr(exporting, "write_cases", full)
    with pytest.raises(OSError, match="No space left"):
        export(small_model(seed=3), small_bundle, ExportOptions(("onnx",)), force=True)
    assert sha256s(small_bundle) == before
    assert [p.name for p in small_bundle.parent.iterdir()] == [small_bundle.name]


def test_a_reference_that_disturbs_the_model_is_noticed(small_keras, tmp_path, monkeypatch):
    call_flat = exporting.call_flat
    monkeypatch.setattr(
        exporting, "call_flat", lambda model, x: [2 * y for y in call_flat(model, x)]
    )
    with pytest.raises(rnn_deploy.RnnDeployError, match="'y' of the model changed while"):
        export(small_keras, tmp_path / "b", ExportOptions(("onnx",)))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_needs_two_steps_at_least_is_exported(tmp_path):
    x = _x()
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    model = randomised(keras.Model(x, layers.MaxPooling1D(2)(y)))
    bundle = export(model, tmp_path / "b", ExportOptions(("onnx",)))
    assert verify(bundle).passed
    lengths = {case.feeds["x"].shape[1] for case in read_cases(bundle.root / "golden.npz")}
    assert lengths == {3, 5, 6, 7, 16}
    assert not bundle.manifest.entry("stream").chunked.ok


def test_samples_the_model_does_not_take_are_refused(tmp_path):
    x = _x()
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    model = randomised(keras.Model(x, layers.MaxPooling1D(2)(y)))
    options = ExportOptions(("onnx",), samples={"x": np.ones((1, 1, 3), np.float32)})
    with pytest.raises(InputError, match="TensorFlow cannot run the model on these inputs"):
        export(model, tmp_path / "b", options)


def test_a_layer_nothing_depends_on_is_left_out_and_said(tmp_path):
    x = _x()
    used = layers.SimpleRNN(4, name="used")(x)
    dead = layers.SimpleRNN(4, name="dead")(x)
    inner = keras.Model(x, [dead, used])
    x = _x()
    bundle = export(randomised(keras.Model(x, inner(x)[1])), tmp_path / "b")
    assert bundle.manifest.notes == ("layer 'dead' is left out: no output depends on it",)
    assert [s.layer for s in bundle.manifest.entry("stream").states] == ["used"]
    assert {c.layer for a in bundle.manifest.artifacts for c in a.choices} == {"used"}
    assert verify(bundle).passed
