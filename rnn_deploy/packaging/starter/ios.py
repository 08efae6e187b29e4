"""`--for ios`: a Swift class on LiteRT, and an app that checks the model on the phone."""

from collections.abc import Mapping

from rnn_deploy.bundle import Bundle
from rnn_deploy.packaging.base import PackageFiles, Packager
from rnn_deploy.packaging.starter import ios_text as text
from rnn_deploy.packaging.starter.names import quoted, shown
from rnn_deploy.packaging.starter.phone import (
    PhoneProgram,
    PhoneTensor,
    filled,
    phone_program_of,
)
from rnn_deploy.packaging.starter.program import preparation
from rnn_deploy.packaging.starter.vectors import binary_of, check_cases

WORDS = {"float32": "Float", "int32": "Int32", "int64": "Int64"}
FOLDER = "Starter"


def make(bundle: Bundle, options: Mapping[str, str]) -> PackageFiles:
    """Return the sources of an app, and the files from which an Xcode project is made."""
    phone = phone_program_of(bundle, "ios", text.RESERVED)
    program = phone.program
    cases = check_cases(program, rows=1)
    files = {
        f"{FOLDER}/Model.swift": model_source(phone),
        f"{FOLDER}/SelfCheck.swift": _self_check(phone, [case.name for case in cases]),
        f"{FOLDER}/StarterApp.swift": text.APP,
        "project.yml": text.PROJECT,
        "Podfile": text.PODFILE,
        "README.md": filled(
            text.README,
            {"@MODEL@": shown(program.model), "@PREPARATION@": preparation(program)},
        ),
    }
    contents = {name: content.encode() for name, content in files.items()}
    (model,) = program.model_files().values()
    data = {f"{FOLDER}/model.tflite": model, f"{FOLDER}/golden.bin": binary_of(program, cases)}
    return PackageFiles(
        {**contents, **data}, ("README.md says how to make an Xcode project of it",)
    )


def model_source(phone: PhoneProgram) -> str:
    """Return Model.swift: the class that a user copies."""
    parts = {
        "@MODEL@": shown(phone.program.model),
        "@RESULT@": "\n".join(
            f"        let {t.identifier}: [{WORDS[t.dtype]}]" for t in phone.outputs
        ),
        "@STATES@": "\n".join(f"    var {t.identifier} = {_zeros(t)}" for t in phone.states),
        "@RESET@": "\n".join(f"        {t.identifier} = {_zeros(t)}" for t in phone.states),
        "@ARGUMENTS@": ", ".join(f"{t.identifier}: [{WORDS[t.dtype]}]" for t in phone.inputs),
        "@INPUTS@": ",\n".join(
            f"            {quoted(t.name)}: Model.data({t.identifier})"
            for t in (*phone.inputs, *phone.states)
        ),
        "@MOVED@": "\n".join(
            f"        {state.identifier} = try values({quoted(after.name)})"
            for state, after in zip(phone.states, phone.next_states, strict=True)
        ),
        "@VALUES@": ", ".join(
            f"{t.identifier}: try values({quoted(t.name)})" for t in phone.outputs
        ),
    }
    return filled(text.MODEL, parts)


def _self_check(phone: PhoneProgram, cases: list[str]) -> str:
    count = len(phone.inputs)

    def at(tensor: PhoneTensor, values: str) -> str:
        part = f"{values}[(t * {tensor.size})..<((t + 1) * {tensor.size})]"
        word = WORDS[tensor.dtype]
        return f"{part if tensor.timed else values}.map {{ {word}($0) }}"

    def compared(title: str, tensor: PhoneTensor, found: str, index: int) -> str:
        wanted = f"truth[{index}]"
        if tensor.timed:
            wanted = f"Array({wanted}[(t * {tensor.size})..<((t + 1) * {tensor.size})])"
        doubles = f"{found}.map {{ Double($0) }}"
        return f"differs({title}, {quoted(tensor.name)}, {doubles}, {wanted}, budgets[{index}])"

    title = '"\\(name), step \\(t)"'
    each = [
        f"                {compared(title, t, f'result.{t.identifier}', i)}"
        for i, t in enumerate(phone.outputs)
        if t.timed
    ]
    last = [
        f"            {compared('name', t, f'last.{t.identifier}', i)}"
        for i, t in enumerate(phone.outputs)
        if not t.timed
    ]
    carried = zip(phone.states, phone.next_states, strict=True)
    finals = [
        f"            {compared('name', after, f'model.{state.identifier}', i)}"
        for i, (state, after) in enumerate(carried, len(phone.outputs))
    ]
    begin = [
        f"            model.{t.identifier} = feeds[{count + i}].map {{ {WORDS[t.dtype]}($0) }}"
        for i, t in enumerate(phone.states)
    ]
    call = ",\n".join(
        f"                    {t.identifier}: {at(t, f'feeds[{i}]')}"
        for i, t in enumerate(phone.inputs)
    )
    parts = {
        "@CASES@": ", ".join(map(quoted, cases)),
        "@FEEDS@": str(len(phone.inputs) + len(phone.states)),
        "@TRUTHS@": str(len(phone.outputs) + len(phone.states)),
        "@BEGIN@": "\n".join(begin),
        "@STEP@": call,
        "@COMPARED@": "\n".join(each),
        "@LAST@": "\n".join([*last, *finals]),
    }
    return filled(text.SELF_CHECK, parts)


def _zeros(tensor: PhoneTensor) -> str:
    return f"[{WORDS[tensor.dtype]}](repeating: 0, count: {tensor.size})"


PACKAGER = Packager(name="ios", help="a Swift app on LiteRT", make=make, format="tflite")
