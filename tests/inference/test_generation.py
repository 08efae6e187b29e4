"""Sequences are generated token by token, as the whole Keras model would choose them."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError
from rnn_deploy.inference.generation import GenerationOptions, generate
from rnn_deploy.runtimes.fake import FakeRunner
from rnn_deploy.spec import STREAM, EntryPoint, StateSpec, Support, TensorSpec
from tests.support.errors import raises
from tests.support.translators import TARGETS

START, END = 1, 0
SOURCES = [[3, 4, 5], [2, 2, 7, 9, 1], [5, 6, 10]]


@pytest.fixture(scope="module")
def model(translator_bundle):
    with rnn_deploy.load(translator_bundle, runtime="ort-cpu") as model:
        yield model


@pytest.fixture(scope="module")
def openvino_bundle(translator_model, tmp_path_factory):
    """The same model with forms that OpenVINO computes right under masks."""
    place = tmp_path_factory.mktemp("openvino") / "translator"
    return rnn_deploy.export(translator_model, place, to=["onnx"], profile="openvino", long=0)


def whole(keras_model, source, target):
    """The distribution of the token after `target`, by the whole Keras model."""
    given = {"source": np.array([source]), "target": np.array([target])}
    outputs = keras_model(given, training=False)
    return np.asarray(outputs["y"])[0, -1].astype(np.float64), np.asarray(outputs["scores"])[0]


def test_greedy_tokens_scores_and_attention_are_those_of_the_whole_model(model, translator_model):
    generated = model.generate(SOURCES, start=START, end=END, max_steps=6)
    assert len({len(each.ids) for each in generated}) == len(SOURCES)
    for source, found in zip(SOURCES, generated, strict=True):
        ids, score, ended = [START], 0.0, False
        for _ in range(6):
            probabilities, attention = whole(translator_model, source, ids)
            token = int(probabilities.argmax())
            score += np.log(probabilities[token])
            if token == END:
                ended = True
                break
            ids.append(token)
        assert (list(found.ids), found.ended) == (ids[1:], ended)
        assert found.score == pytest.approx(score, abs=1e-4)
        np.testing.assert_allclose(
            found.attention["scores"], attention[: len(found.ids)], atol=1e-5
        )


@pytest.mark.parametrize(
    "strategy",
    [{}, {"strategy": "beam", "beams": 3}, {"strategy": "sample", "seed": 5, "temperature": 0.8}],
)
def test_results_are_the_same_on_every_runtime_and_alone(
    model, translator_bundle, openvino_bundle, strategy
):
    options = {"start": START, "end": END, "max_steps": 8, **strategy}
    together = model.generate(SOURCES, **options)
    for runtime, bundle in (("litert", translator_bundle), ("openvino-cpu", openvino_bundle)):
        with rnn_deploy.load(bundle, runtime=runtime) as other:
            elsewhere = other.generate(SOURCES, **options)
        assert [each.ids for each in together] == [each.ids for each in elsewhere], runtime
        scores = [each.score for each in elsewhere]
        np.testing.assert_allclose([each.score for each in together], scores, atol=1e-4)
    if "seed" not in strategy:
        alone = [model.generate([source], **options)[0] for source in SOURCES]
        assert [each.ids for each in together] == [each.ids for each in alone]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"start": TARGETS, "end": END}, "E-GENERATE-TOKEN"),
        ({"start": -1, "end": END}, "E-GENERATE-TOKEN"),
        ({"start": START, "end": TARGETS}, "E-GENERATE-TOKEN"),
        ({"end": END}, "E-GENERATE-START"),
        ({"start": START, "strategy": "best"}, "E-GENERATE-STRATEGY"),
        ({"start": START, "beams": 3}, "E-GENERATE-OPTION"),
        ({"start": START, "strategy": "beam", "seed": 3}, "E-GENERATE-OPTION"),
        ({"start": START, "max_steps": 0}, "E-GENERATE-OPTION"),
        ({"start": START, "strategy": "sample", "temperature": 0.0}, "E-GENERATE-OPTION"),
        ({"start": START, "strategy": "sample", "temperature": np.nan}, "E-GENERATE-OPTION"),
        ({"start": START, "strategy": "sample", "top_k": 0}, "E-GENERATE-OPTION"),
    ],
)
def test_options_that_do_not_fit_are_refused(model, options, code):
    with raises(InputError, code):
        model.generate(SOURCES, **options)


@pytest.mark.parametrize("source", [[], [[]], [[3, 4], []], np.zeros((2, 0), np.int32)])
def test_an_empty_source_is_refused(model, source):
    with raises(InputError, "E-GENERATE-EMPTY-SOURCE"):
        model.generate(source, start=START)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("encoder_mask", (1, 3)), ("encoder", (1, 3, 5)), ("decoder_h_in", (2, 5))],
)
def test_memory_and_states_of_another_source_do_not_fit(model, name, shape):
    encoded = model.runner("encode").run({"source": np.array([[3, 4, 5, 6]], np.int32)})
    feeds = {"target": np.array([[START]], np.int32), **encoded}
    model.runner("decode").run(feeds)
    feeds[name] = np.ones(shape, feeds[name].dtype)
    with raises(InputError, "E-INPUT-SHAPE"):
        model.runner("decode").run(feeds)


def chain(seed=0, tokens=4, logits=False):
    """A language model that is a Markov chain: a runner of its stream, and its table."""
    table = np.random.default_rng(seed).dirichlet(np.ones(tokens), tokens)
    table = np.log(table) if logits else table
    ids = TensorSpec("ids", ("batch", "time"), "int32", below=tokens)
    state = TensorSpec("chain_h_in", ("batch", 1), "float32")
    entry = EntryPoint(
        STREAM,
        (ids,),
        (TensorSpec("y", ("batch", "time", tokens), "float32"),),
        (StateSpec(state, "chain_h_out", "chain", "h"),),
        Support(True),
    )

    def answer(entry, feeds):
        last = feeds["ids"][:, -1:].astype(np.float32)
        return {"y": table[feeds["ids"]].astype(np.float32), "chain_h_out": last}

    return FakeRunner(entry, answer), table


def continued(runner, prompts, **options):
    return generate(lambda entry: runner, [STREAM], prompts, GenerationOptions(**options))


def score(table, prompt, ids):
    path = [prompt, *ids]
    return sum(np.log(table[a, b]) for a, b in itertools.pairwise(path))


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_best_of_all_sequences(seed):
    runner, table = chain(seed)
    found = continued(runner, [[0], [2]], end=3, max_steps=4, strategy="beam", beams=60)
    for prompt, each in zip((0, 2), found, strict=True):
        ended = [(*ids, 3) for n in range(4) for ids in itertools.product(range(3), repeat=n)]
        best = max(ended, key=lambda ids: score(table, prompt, ids))
        assert (*each.ids, 3) == best
        assert each.ended
        assert each.score == pytest.approx(score(table, prompt, best), abs=1e-5)
        scores = [each.score, *(other.score for other in each.others if other.ended)]
        assert scores == sorted(scores, reverse=True)


def test_one_beam_is_greedy_until_the_end():
    runner, _ = chain(1)
    greedy = continued(runner, [[0], [1], [2, 0]], max_steps=7)
    beam = continued(runner, [[0], [1], [2, 0]], max_steps=7, strategy="beam", beams=1)
    assert [each.ids for each in greedy] == [each.ids for each in beam]
    assert all(len(each.ids) == 7 and not each.ended for each in greedy)


def test_a_language_model_continues_prompts_of_different_lengths():
    runner, table = chain(2)
    for prompt, each in zip(
        ([0], [1, 2], [3]), continued(runner, [[0], [1, 2], [3]], max_steps=3), strict=True
    ):
        token, expected = prompt[-1], []
        for _ in range(3):
            token = int(table[token].argmax())
            expected.append(token)
        assert list(each.ids) == expected
    first = continued(runner, [[0, 1]], max_steps=1)
    assert first[0].ids == continued(runner, [[1]], start=0, max_steps=1)[0].ids


def test_samples_follow_the_distribution_and_the_seed():
    runner, table = chain(3)
    drawn = continued(runner, [[0]] * 4000, max_steps=1, strategy="sample", seed=1)
    counts = np.bincount([each.ids[0] for each in drawn], minlength=4) / 4000
    np.testing.assert_allclose(counts, table[0], atol=0.03)
    again = continued(runner, [[0]] * 4000, max_steps=1, strategy="sample", seed=1)
    other = continued(runner, [[0]] * 4000, max_steps=1, strategy="sample", seed=2)
    assert [e.ids for e in drawn] == [e.ids for e in again] != [e.ids for e in other]
    two = continued(runner, [[0]] * 500, max_steps=1, strategy="sample", top_k=2)
    assert {each.ids[0] for each in two} == set(np.argsort(-table[0])[:2].tolist())
    cold = continued(runner, [[0]] * 100, max_steps=1, strategy="sample", temperature=1e-3)
    assert {each.ids[0] for each in cold} == {int(table[0].argmax())}


def test_a_sequence_that_has_ended_leaves_the_batch():
    runner, table = chain(0)
    seen = []

    def answer(entry, feeds):
        seen.append(len(feeds["ids"]))
        return runner.answer(entry, feeds)

    end = int(table[0].argmax())
    others = [token for token in range(4) if int(table[token].argmax()) != end]
    assert others
    prompts = [[0], [others[0]]]
    found = continued(replace(runner, answer=answer), prompts, end=end, max_steps=5)
    assert found[0].ended
    assert found[0].ids == ()
    assert seen[0] == 2
    assert set(seen[1:]) <= {1}


def test_an_output_that_is_no_distribution_is_refused():
    runner, _ = chain(logits=True)
    with raises(InputError, "E-GENERATE-NOT-DISTRIBUTION"):
        continued(runner, [[0]])


def test_a_model_without_an_output_of_tokens_is_refused(small_bundle):
    with rnn_deploy.load(small_bundle) as model, raises(InputError, "E-GENERATE-NOT-DISTRIBUTION"):
        model.generate(np.zeros((1, 3, 3), np.float32))


def test_a_model_without_a_decoder_is_refused_with_the_reason(small_bundle):
    with rnn_deploy.load(small_bundle) as model:
        entry = model.runner(STREAM).entry
        whole_only = replace(entry, chunked=Support(False, "it looks ahead"))
        runner = FakeRunner(whole_only, lambda entry, feeds: {})
        with pytest.raises(InputError) as caught:
            generate(lambda e: runner, [STREAM], [[1]], GenerationOptions(), why="looks ahead")
    assert caught.value.code == "E-GENERATE-NO-DECODER"
    assert "looks ahead" in caught.value.message
