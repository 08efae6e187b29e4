"""`package --for android` and `--for ios`.

No Android or iOS tools are here, so what is checked is this: the grammars of tree-sitter parse each
source, its names are those of the signature in the packaged file, and the golden vectors that it
reads pass on LiteRT with the calls that it makes.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.packaging.registry import packager_named
from rnn_deploy.packaging.starter.phone import phone_program_of
from tests.support.errors import raises

MODEL = {
    "android": "app/src/main/java/com/example/rnnstarter/Model.kt",
    "ios": "Starter/Model.swift",
}
LANGUAGES = tuple(MODEL)


def faults_in(language, text):
    """Where a source does not parse."""
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip(f"tree_sitter_{language}")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    todo, found = [parser.parse(text.encode()).root_node], []
    while todo:
        node = todo.pop()
        if node.type == "ERROR" or node.is_missing:
            found.append(node.start_point)
        todo += node.children
    return found


def sources(files):
    endings = {".kt": "kotlin", ".kts": "kotlin", ".swift": "swift"}
    for path, content in files.items():
        language = endings.get(path[path.rfind(".") :])
        if language:
            yield path, language, content.decode()


@pytest.mark.parametrize("bundle", ["several", "tokens"])
@pytest.mark.parametrize("name", LANGUAGES)
def test_every_source_parses(name, bundle, request):
    files = packager_named(name).package(request.getfixturevalue(bundle), {}).files
    checked = list(sources(files))
    assert len(checked) >= 3
    for path, language, text in checked:
        assert faults_in(language, text) == [], path
        assert not re.search(r"@[A-Z_]{3,}@", text), path


@pytest.mark.parametrize(
    ("language", "text"),
    [("kotlin", "fun f() { val x = (1 }"), ("swift", "func f() { let x = [1 }")],
)
def test_a_source_that_does_not_parse_is_seen(language, text):
    assert faults_in(language, text)


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_names_are_those_of_the_signature(name, several):
    files = packager_named(name).package(several, {}).files
    (content,) = (files[path] for path in files if path.endswith(".tflite"))
    step = Interpreter(model_content=content).get_signature_runner("step")
    text = files[MODEL[name]].decode()
    named = set(re.findall(r'"([^"\n]*)"', text)) - {"step"}
    assert named == {*step.get_input_details(), *step.get_output_details()}
    assert '"step"' in text


def read(content):
    """Read golden.bin as the programs do."""
    values = np.frombuffer(content, "<f8")
    place = 0

    def take(count=None):
        nonlocal place
        size = 1 if count is None else count
        part = values[place : place + size]
        place += size
        assert len(part) == size
        return part[0] if count is None else part

    return take, lambda: place == len(values)


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_golden_vectors_pass_on_litert(name, several):
    files = packager_named(name).package(several, {}).files
    phone = phone_program_of(several, name, ())
    (content,) = (files[path] for path in files if path.endswith(".tflite"))
    (golden,) = (files[path] for path in files if path.endswith("golden.bin"))
    check = next(text for path, _, text in sources(files) if "SelfCheck" in path)
    cases = re.search(r"for \(?name in (?:listOf\(|\[)([^)\]]*)", check)[1].count('"') // 2
    step = Interpreter(model_content=content).get_signature_runner("step")
    take, ended = read(golden)
    compared = 0
    for _ in range(cases):
        assert take() == 1
        steps = int(take())
        feeds = [take(int(take())) for _ in (*phone.inputs, *phone.states)]
        wanted = [(take(), take(int(take()))) for _ in (*phone.outputs, *phone.states)]
        details = step.get_input_details()

        def shaped(tensor, values, details=details):
            return values.astype(tensor.dtype).reshape(details[tensor.name]["shape"])

        count = len(phone.inputs)
        state = {t.name: shaped(t, v) for t, v in zip(phone.states, feeds[count:], strict=True)}
        for t in range(steps):
            given = {
                tensor.name: shaped(tensor, values[t * tensor.size : (t + 1) * tensor.size])
                for tensor, values in zip(phone.inputs, feeds[:count], strict=True)
            }
            found = step(**given, **state)
            state = {
                before.name: found[after.name]
                for before, after in zip(phone.states, phone.next_states, strict=True)
            }
            for tensor, (budget, truth) in zip(phone.outputs, wanted, strict=False):
                if tensor.timed:
                    part = truth[t * tensor.size : (t + 1) * tensor.size]
                    assert np.abs(found[tensor.name].reshape(-1) - part).max() <= budget
                    compared += 1
        last = [
            *(found[t.name] for t in phone.outputs),
            *(found[t.name] for t in phone.next_states),
        ]
        for tensor, value, (budget, truth) in zip(
            (*phone.outputs, *phone.next_states), last, wanted, strict=True
        ):
            if not tensor.timed:
                assert np.abs(value.reshape(-1) - truth).max() <= budget
                compared += 1
    assert ended()
    assert compared > 20


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_model_without_single_steps_is_refused(name, backwards):
    with raises(InputError, "E-OPTION-PACKAGER-STEP", name, "step"):
        packager_named(name).package(backwards, {})


@pytest.mark.parametrize("name", LANGUAGES)
def test_other_dtypes_are_refused(name, streaming):
    manifest = streaming.manifest
    entries = tuple(
        replace(e, outputs=tuple(replace(t, dtype="float16") for t in e.outputs))
        for e in manifest.entries
    )
    changed = replace(streaming, manifest=replace(manifest, entries=entries))
    with raises(InputError, "E-OPTION-PACKAGER-DTYPE", "y float16", name):
        packager_named(name).package(changed, {})


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_bundle_without_tflite_or_with_a_wrong_runtime_is_refused(name, streaming):
    manifest = streaming.manifest
    without = tuple(a for a in manifest.artifacts if a.format != "tflite")
    with raises(InputError, "E-BUNDLE-NO-ARTIFACT", "--to tflite"):
        changed = replace(streaming, manifest=replace(manifest, artifacts=without))
        packager_named(name).package(changed, {})
    wrong = tuple(
        replace(a, choices=tuple(replace(c, not_on=("litert",)) for c in a.choices))
        for a in manifest.artifacts
    )
    with raises(RuntimeUnavailableError, "E-RUNTIME-WRONG", "litert"):
        changed = replace(streaming, manifest=replace(manifest, artifacts=wrong))
        packager_named(name).package(changed, {})
