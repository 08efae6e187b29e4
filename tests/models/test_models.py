"""The sample models on real input: built once, exported once, right on every runtime at hand."""

from pathlib import Path

import numpy as np
import pytest

from rnn_deploy.user_code import load_module

MODELS = Path(__file__).parents[2] / "models"
EXPERIMENTS = ("cell_one_step", "layer_one_step", "unfolded", "batched")
RUNTIMES = ("ort-cpu", "litert")
PRINTED = 1e-6


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A function from a model file and its function to (module, Keras model, bundle)."""
    import rnn_deploy

    made = {}

    def make(file, function="build_model"):
        if (file, function) not in made:
            module = load_module(MODELS / file)
            model = getattr(module, function)()
            root = tmp_path_factory.mktemp("models") / function
            real = module.samples() if function == "build_model" else None
            made[file, function] = module, model, rnn_deploy.export(model, root, samples=real)
        return made[file, function]

    return make


def _original(model, bundle):
    """The Keras model behind the runtimes' interface."""
    from rnn_deploy.inference.model import Model
    from rnn_deploy.references.reference import Reference

    return Model(bundle, "tensorflow", lambda entry: Reference(model, bundle.manifest.entry(entry)))


def _on_runtimes(bundle):
    import rnn_deploy

    return {name: rnn_deploy.load(bundle, name) for name in RUNTIMES}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_notebook_prints_the_same_numbers_everywhere(name, exported):
    module, model, bundle = exported("notebook.py", name)
    experiment = module.EXPERIMENTS[name]
    x = module.one_hot(experiment.words)

    sequence, state = model(x)
    results = {"tensorflow": {"sequence": sequence.numpy(), "state": state.numpy()}}
    for runtime, loaded in _on_runtimes(bundle).items():
        outputs = loaded.predict(x)
        streamed = loaded.runner("stream").run({"letters": x})
        results[runtime] = {"sequence": outputs["rnn"], "state": outputs["rnn_1"]}
        results[f"{runtime} stream"] = {"sequence": streamed["rnn"], "state": streamed["rnn_h_out"]}
    for where, found in results.items():
        np.testing.assert_allclose(found["sequence"], experiment.outputs, 0, PRINTED, err_msg=where)
        np.testing.assert_allclose(found["state"], experiment.states, 0, PRINTED, err_msg=where)
        np.testing.assert_array_equal(found["sequence"][:, -1], found["state"], err_msg=where)


def test_notebook_numbers_are_those_of_the_seed(exported):
    """The table tells weights apart: with two units swapped the numbers are others."""
    module, model, _ = exported("notebook.py", "batched")
    experiment = module.EXPERIMENTS["batched"]
    kernel, recurrent, bias = model.get_weights()
    swapped = [kernel, recurrent[::-1], bias]
    model.set_weights(swapped)
    sequence, _ = model(module.one_hot(experiment.words))
    model.set_weights([kernel, recurrent, bias])
    assert np.abs(sequence.numpy() - experiment.outputs).max() > 0.1


def test_hello_is_spelled_everywhere(exported):
    module, model, bundle = exported("hello.py")
    found = {n: module.evaluate(m) for n, m in _on_runtimes(bundle).items()}
    found["tensorflow"] = module.evaluate(_original(model, bundle))
    assert set(found) == {*RUNTIMES, "tensorflow"}
    assert all(facts == {"spelled": "hello"} for facts in found.values()), found


def test_hello_needs_its_state(exported):
    """Reset between letters, the model cannot tell the first l from the second."""
    module, _, bundle = exported("hello.py")

    class Forgetful:
        def stream(self):
            stream = _on_runtimes(bundle)["ort-cpu"].stream()
            step = stream.step
            stream.step = lambda x: (stream.reset(), step(x))[1]
            return stream

    assert module.evaluate(Forgetful())["spelled"] != "hello"


def test_digits_are_read_alike_everywhere(exported):
    module, model, bundle = exported("digits.py")
    expected = module.evaluate(_original(model, bundle))
    assert expected["accuracy"] >= 0.95
    assert len(expected["labels"]) == 450
    for name, loaded in _on_runtimes(bundle).items():
        assert module.evaluate(loaded)["labels"] == expected["labels"], name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")
def test_dates_are_read_alike_everywhere(exported):
    """The whole Keras model, one digit after the other, reads the same dates."""
    module, model, bundle = exported("dates.py")
    texts = [text for text, _ in module.pairs()[1]]
    found = np.full((len(texts), 1), module.START, np.int32)
    for _ in range(module.STEPS - 1):
        given = {"written": module.source(texts), "iso": found}
        best = model.predict(given, verbose=0)["next"][:, -1].argmax(axis=-1)
        found = np.concatenate([found, best[:, None].astype(np.int32)], axis=1)
    expected = [module.iso(row[1:].tolist()) for row in found]
    for name, loaded in _on_runtimes(bundle).items():
        facts = module.evaluate(loaded)
        assert facts["exact"] >= 0.95
        assert facts["dates"] == expected, name
        beams = module.read(loaded, texts[:50], strategy="beam")
        assert np.mean([a == b for a, b in zip(beams, expected[:50], strict=True)]) > 0.9, name


@pytest.mark.slow
def test_text_is_generated_alike_everywhere(exported):
    module, model, bundle = exported("text.py")
    expected = module.evaluate(_original(model, bundle))
    assert expected["bits_per_character"] < 2.5
    for name, loaded in _on_runtimes(bundle).items():
        found = module.evaluate(loaded)
        assert found["generated"] == expected["generated"], name
        assert found["bits_per_character"] == pytest.approx(
            expected["bits_per_character"], abs=1e-5
        )
