"""The C text: accepted by strict compilers, the same every time, without globals."""

from dataclasses import replace

import keras
import pytest

from rnn_deploy.c.reading import read_program
from rnn_deploy.c.source import c_model
from tests.support.c_compilers import STRICT, call, needed, written
from tests.support.c_models import planned, sources_of
from tests.support.models import randomised

# The convolution of every_node() ends the mask, which Keras says.
pytestmark = pytest.mark.filterwarnings("ignore:Layer 'conv'")
L = keras.layers


def every_node():
    """A model with a node of every kind, masks, names that are no identifiers, token ids."""
    ids = keras.Input((None,), dtype="int32", name="token-ids")
    x = keras.Input((None, 4), name="x")
    e = L.Embedding(11, 5, mask_zero=True, name="embedding")(ids)
    y = L.Concatenate(name="both")([e, L.LayerNormalization(name="norm")(x)])
    y = L.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu", name="conv")(y)
    y = L.GRU(5, return_sequences=True, reset_after=False, name="gru")(y)
    y = L.BatchNormalization(name="batch")(y)
    y = L.LSTM(4, return_sequences=True, zero_output_for_mask=True, name="lstm")(y)
    y = L.Add(name="sum")([y, x * 2.0])
    y = L.LeakyReLU(0.3, name="leaky")(y[:, :, ::-1])
    z = L.Average(name="mean")([L.SimpleRNN(3, name="last")(y), L.GRU(3, name="gru2")(y)])
    z = L.Dense(3, activation="softmax", name="class")(z)
    steps = L.TimeDistributed(L.Dense(2, activation="gelu"), name="steps")(y)
    model = randomised(keras.Model([ids, x], [z, steps], name="every_node"), scale=0.3)
    variance = model.get_layer("batch").moving_variance
    variance.assign(keras.ops.abs(variance) + 0.1)
    return model


def both_ways():
    x = i = keras.Input((None, 3), name="x")
    x = L.Masking(0.0, name="masking")(x)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(x)
    x = L.GRU(3, go_backwards=True, return_sequences=True, name="back")(x)
    return randomised(keras.Model(i, L.Dense(2, name="y")(x), name="ways"), scale=0.4)


@pytest.fixture(scope="module")
def models():
    return [sources_of(planned(make())) for make in (every_node, both_ways)]


@pytest.mark.parametrize("level", ["-Os", "-O2", "-O3"])
@pytest.mark.parametrize("compiler", [pytest.param(c, marks=needed(c)) for c in ("gcc", "clang")])
def test_strict_compilers_have_nothing_to_say(models, tmp_path, compiler, level):
    for model in models:
        written(model.files, tmp_path)
        for name in (n for n in model.files if n.endswith(".c")):
            call(compiler, *STRICT, level, "-c", name, place=tmp_path)


@needed("gcc")
def test_an_unused_variable_would_be_found(models, tmp_path):
    written(models[0].files, tmp_path)
    source = tmp_path / "model.c"
    source.write_text(source.read_text().replace("    size_t t;\n", "    size_t t, u;\n", 1))
    assert "unused" in call("gcc", *STRICT, "-c", "model.c", place=tmp_path, code=1)


@needed("gcc")
@pytest.mark.parametrize("flag", ["-ffast-math", "-ffinite-math-only"])
def test_fast_math_is_refused(models, tmp_path, flag):
    written(models[0].files, tmp_path)
    assert "-ffast-math" in call("gcc", flag, "-c", "model.c", place=tmp_path, code=1)


@needed("gcc", "nm")
@pytest.mark.parametrize(("method", "taken"), [("0", False), ("16", False), ("2", True)])
def test_libm_is_taken_only_with_excess_precision(models, tmp_path, method, taken):
    """With -std=gnu17 -march=native gcc names method 16 where it has AVX512-FP16."""
    written(models[0].files, tmp_path)
    name = "__FLT_EVAL_METHOD__"
    call("gcc", "-w", "-O2", f"-U{name}", f"-D{name}={method}", "-c", "model.c", place=tmp_path)
    assert ("tanhf" in call("nm", "-u", "model.o", place=tmp_path)) == taken


def test_weights_are_aligned_where_vectors_have_the_size_of_a_cache_line(models):
    source, weights = (models[0].files[name] for name in ("model.c", "model_weights.c"))
    for text in (source, weights):
        assert "#if defined(__AVX512F__) && defined(__GNUC__)" in text
        assert "__attribute__((aligned(64)))" in text
    assert weights.count("MODEL_ALIGNED\nconst ") == weights.count("] = {")
    assert "MODEL_ALIGNED float a[" in source


@needed("gcc", "size")
def test_there_are_no_variables_outside_of_functions(models, tmp_path):
    for model in models:
        written(model.files, tmp_path)
        call("gcc", "-O2", "-c", "model.c", "model_weights.c", place=tmp_path)
        for name in ("model.o", "model_weights.o"):
            _, row = call("size", name, place=tmp_path).splitlines()
            assert row.split()[1:3] == ["0", "0"]  # data, bss
        assert "malloc" not in call("nm", "model.o", place=tmp_path)


def test_two_exports_give_the_same_bytes():
    model = both_ways()
    first, second = (sources_of(planned(model)).files for _ in range(2))
    assert first == second


def test_names_that_are_no_identifiers_are_reported(models):
    assert any("token-ids" in note and "token_ids" in note for note in models[0].notes)
    assert "const int32_t *token_ids" in models[0].files["model.h"]


def test_a_name_cannot_end_a_comment():
    plan = planned(both_ways())
    program = read_program(plan.model, plan.sequence.trace.signature)
    files = c_model(replace(program, name="every/*node*/"), []).files
    assert not any("*/node" in text or "node*/" in text for text in files.values())


@needed("g++", "gcc")
def test_the_header_is_c_plus_plus_too(models, tmp_path):
    written(models[0].files, tmp_path)
    (tmp_path / "use.cpp").write_text('#include "model.h"\nint f(model_state *s);\n')
    call("g++", "-Wall", "-Werror", "-pedantic", "-c", "use.cpp", place=tmp_path)


def test_only_a_model_that_runs_forward_has_a_step(models):
    one, whole = (model.files["model.h"] for model in models)
    assert "int model_step(" in one
    assert "MODEL_WORK_FLOATS" not in one
    assert "model_step(" not in whole
    assert "#define MODEL_WORK_FLOATS(steps)" in whole
