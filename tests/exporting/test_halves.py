"""encode and decode through the whole export, proven against the whole model on every runtime."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from rnn_deploy.bundle import cases_of
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.spec import DECODE, ENCODE
from rnn_deploy.verifying import verify
from tests.support.models import randomised
from tests.support.translators import translator, vectors

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
CHECK = "encode-decode"


def exported(model, place, *formats, **options):
    return export(model, place, ExportOptions(formats or ("onnx",), long=0, **options))


def names(bundle):
    return [entry.name for entry in bundle.manifest.entries]


def proven(bundle, *runtimes):
    """Assert that every output and state of encode and decode was compared, and is right."""
    runtimes = [runtime_named(name) for name in runtimes or ("ort-cpu",)]
    report = verify(bundle, runtimes=runtimes, checks=(CHECK,))
    assert report.passed, [c for c in report.comparisons if not c.passed]
    compared = {(c.runtime, c.name) for c in report.comparisons}
    halves = [bundle.manifest.entry(name) for name in (ENCODE, DECODE)]
    wanted = {t.name for entry in halves for t in entry.all_outputs}
    assert compared == {(runtime.name, name) for runtime in runtimes for name in wanted}
    return halves


def test_masked_attention_is_split_exactly_on_every_runtime(translator_bundle):
    encode, decode = proven(translator_bundle, "ort-cpu", "litert")
    assert [str(t) for t in encode.outputs] == [
        "encoder float32(batch, source_time, 5)",
        "encoder_mask bool(batch, source_time)",
        "decoder_h_in float32(batch, 5)",
        "decoder_c_in float32(batch, 5)",
    ]
    assert [t.name for t in decode.all_inputs] == [
        *("target", "encoder", "encoder_mask", "decoder_h_in", "decoder_c_in"),
    ]
    assert [t.name for t in decode.all_outputs] == [
        *("scores", "y", "decoder_h_out", "decoder_c_out"),
    ]
    assert decode.chunked.ok
    assert decode.time_symbols == ("target_time",)


def test_golden_vectors_of_both_halves_are_masked_and_the_target_begins_unmasked(translator_bundle):
    cases = [case for case in cases_of(translator_bundle, special=True) if case.check == CHECK]
    assert len(cases) >= 3
    assert any(not case.feeds["encoder_mask"].all() for case in cases)
    assert all(case.feeds["target"][:, 0].all() for case in cases)
    assert any(not case.feeds["target"].all() for case in cases)


@pytest.mark.parametrize("kind", ["GRU", "SimpleRNN"])
def test_other_cells_are_split(tmp_path, kind):
    proven(exported(translator(kind, masked=False, attention=False), tmp_path / "b"))


def stacked_bidirectional(source, target):
    """Bidirectional encoder, concatenated states through a Dense, and two decoder layers."""
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="first")(source)
    y, *states = layers.Bidirectional(
        layers.LSTM(3, return_sequences=True, return_state=True), name="second"
    )(x)
    h, c = (layers.Concatenate()(pair) for pair in (states[::2], states[1::2]))
    h = layers.Dense(6, activation="tanh", name="bridge")(h)
    z = layers.LSTM(6, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    z = layers.GRU(4, return_sequences=True, name="decoder2")(z)
    return layers.MultiHeadAttention(2, 3, name="heads")(z, y)


class RepeatedLike(layers.Layer):
    """A vector at every step of a sequence."""

    def call(self, vector, sequence):
        return ops.repeat(vector[:, None], ops.shape(sequence)[1], axis=1)

    def compute_output_shape(self, vector_shape, sequence_shape):
        return (*sequence_shape[:2], vector_shape[-1])


def context_at_every_step(source, target):
    context = layers.GRU(4, name="encoder")(source)
    x = layers.Concatenate()([target, RepeatedLike()(context, target)])
    return layers.GRU(4, return_sequences=True, name="decoder")(x, initial_state=context)


def additive(source, target):
    y, state = layers.GRU(4, return_sequences=True, return_state=True, name="encoder")(source)
    z = layers.GRU(4, return_sequences=True, name="decoder")(target, initial_state=state)
    return [layers.AdditiveAttention(name="look")([z, y]), layers.Dense(2, name="language")(state)]


@pytest.mark.parametrize("build", [stacked_bidirectional, context_at_every_step, additive])
def test_models_of_vectors_are_split(tmp_path, build):
    proven(exported(vectors(build), tmp_path / "b"))


def test_features_are_encoded_for_a_decoder_with_another_input(tmp_path):
    image, ids = (
        keras.Input((6, 6, 1), name="image"),
        keras.Input((None,), dtype="int32", name="ids"),
    )
    x = layers.Flatten()(layers.Conv2D(2, 3)(image))
    state = layers.Dense(4, name="start")(x)
    y = layers.GRU(4, return_sequences=True, name="decoder")(
        layers.Embedding(7, 3)(ids), initial_state=state
    )
    bundle = exported(randomised(keras.Model([image, ids], layers.Dense(7)(y))), tmp_path / "b")
    encode, _ = proven(bundle)
    assert [t.name for t in encode.outputs] == ["decoder_h_in"]


def test_two_encoders_with_a_shared_embedding(tmp_path):
    a, b, target = (keras.Input((None,), dtype="int32", name=name) for name in ("a", "b", "target"))
    ids = layers.Embedding(7, 3, mask_zero=True, name="ids")
    states = [layers.GRU(2, name=f"encoder_{x.name}")(ids(x)) for x in (a, b)]
    y = layers.GRU(4, return_sequences=True, name="decoder")(
        ids(target), initial_state=layers.Concatenate()(states)
    )
    bundle = exported(randomised(keras.Model([a, b, target], y)), tmp_path / "b")
    encode, decode = proven(bundle)
    assert [t.name for t in encode.inputs] == ["a", "b"]
    assert [t.name for t in decode.inputs] == ["target"]


def test_a_fixed_number_of_target_steps_is_opened(tmp_path):
    source, target = keras.Input((5, 3), name="source"), keras.Input((4, 2), name="target")
    state = layers.GRU(4, name="encoder")(source)
    y = layers.GRU(4, return_sequences=True, name="decoder")(target, initial_state=state)
    bundle = exported(randomised(keras.Model([source, target], y)), tmp_path / "b")
    _, decode = proven(bundle)
    runner = runtime_named("ort-cpu").load(bundle, RunOptions(entry=DECODE))
    results = runner.run({"target": np.zeros((1, 9, 2), np.float32)})
    assert results[decode.outputs[0].name].shape == (1, 9, 4)


def looking_ahead(source, target):
    state = layers.GRU(4, name="encoder")(source)
    y = layers.GRU(4, return_sequences=True, name="decoder")(target, initial_state=state)
    return layers.Conv1D(2, 3, padding="same", name="smooth")(y)


def test_a_decoder_that_looks_at_future_steps_is_not_split_and_a_note_says_so(tmp_path):
    bundle = exported(vectors(looking_ahead), tmp_path / "b")
    assert not {ENCODE, DECODE} & set(names(bundle))
    notes = [note for note in bundle.manifest.notes if "encode and decode" in note]
    assert len(notes) == 1
    assert "chunks" in notes[0]


def test_a_format_without_encode_and_decode_is_verified_all_the_same(tmp_path):
    model = vectors(additive)
    bundle = exported(model, tmp_path / "b", "onnx", "tflite", quantize="float16")
    (note,) = [n for n in bundle.manifest.notes if "lack the entry points" in n]
    assert note.startswith("the tflite files")
    assert {a.entry for a in bundle.manifest.artifacts if a.format == "tflite"} == {
        *("sequence", "stream"),
    }
    runtimes = [runtime_named(name) for name in ("ort-cpu", "litert")]
    report = verify(bundle, runtimes=runtimes, checks=(CHECK,))
    assert not report.failed_checks
    assert {c.runtime for c in report.comparisons} == {"ort-cpu"}


def model_of_keras_2(bidirectional, *, masked=True):
    """Embeddings, an encoder, a decoder from its states, and Attention, of tf_keras."""
    import tf_keras

    kinds = tf_keras.layers
    source, target = (
        tf_keras.Input((None,), dtype="int32", name=name) for name in ("source", "target")
    )
    x = kinds.Embedding(11, 4, mask_zero=masked)(source)
    if bidirectional:
        cell = kinds.GRU(3, return_sequences=True, return_state=True)
        encoded, *states = kinds.Bidirectional(cell, name="encoder")(x)
        states = [kinds.Concatenate()(states)]
    else:
        cell = kinds.LSTM(6, return_sequences=True, return_state=True, name="encoder")
        encoded, *states = cell(x)
    kind = kinds.GRU if bidirectional else kinds.LSTM
    y = kinds.Embedding(9, 4, mask_zero=masked)(target)
    y = kind(6, return_sequences=True, name="decoder")(y, initial_state=states)
    y = kinds.Concatenate()([y, kinds.Attention(name="look")([y, encoded])])
    model = tf_keras.Model([source, target], kinds.Dense(9, activation="softmax", name="next")(y))
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_model_of_keras_2_is_split(tmp_path, bidirectional):
    encode, decode = proven(exported(model_of_keras_2(bidirectional), tmp_path / "b"))
    assert [t.name for t in encode.outputs][:2] == ["encoder", "encoder_mask"]
    assert decode.chunked.ok


def test_an_h5_file_of_keras_2_is_split(tmp_path):
    model_of_keras_2(bidirectional=False, masked=False).save(tmp_path / "old.h5")
    _, decode = proven(exported(str(tmp_path / "old.h5"), tmp_path / "b"))
    assert [s.tensor.name for s in decode.states] == ["decoder_h_in", "decoder_c_in"]
