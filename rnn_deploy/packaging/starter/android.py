"""`--for android`: a Kotlin class on LiteRT, and an app that checks the model on the phone."""

from collections.abc import Mapping

from rnn_deploy.bundle import Bundle
from rnn_deploy.packaging.base import PackageFiles, Packager
from rnn_deploy.packaging.starter import android_text as text
from rnn_deploy.packaging.starter.names import quoted, shown
from rnn_deploy.packaging.starter.phone import (
    PhoneProgram,
    PhoneTensor,
    filled,
    phone_program_of,
)
from rnn_deploy.packaging.starter.program import preparation
from rnn_deploy.packaging.starter.vectors import binary_of, check_cases

WORDS = {"float32": "Float", "int32": "Int", "int64": "Long"}
SOURCES = "app/src/main/java/com/example/rnnstarter"
ASSETS = "app/src/main/assets"


def make(bundle: Bundle, options: Mapping[str, str]) -> PackageFiles:
    """Return a Gradle project."""
    phone = phone_program_of(bundle, "android", text.RESERVED)
    program = phone.program
    cases = check_cases(program, rows=1)
    files = {
        f"{SOURCES}/Model.kt": model_source(phone),
        f"{SOURCES}/SelfCheck.kt": _self_check(phone, [case.name for case in cases]),
        f"{SOURCES}/MainActivity.kt": text.ACTIVITY,
        "app/src/main/AndroidManifest.xml": text.MANIFEST,
        "app/build.gradle.kts": text.APP_BUILD,
        "build.gradle.kts": text.BUILD,
        "settings.gradle.kts": text.SETTINGS,
        "gradle.properties": "android.useAndroidX=true\n",
        "README.md": filled(
            text.README,
            {"@MODEL@": shown(program.model), "@PREPARATION@": preparation(program)},
        ),
    }
    contents = {name: content.encode() for name, content in files.items()}
    (model,) = program.model_files().values()
    assets = {f"{ASSETS}/model.tflite": model, f"{ASSETS}/golden.bin": binary_of(program, cases)}
    return PackageFiles(
        {**contents, **assets}, ("open the folder in Android Studio; the app shows the self-check",)
    )


def model_source(phone: PhoneProgram) -> str:
    """Return Model.kt: the class that a user copies."""
    parts = {
        "@MODEL@": shown(phone.program.model),
        "@RESULT@": ", ".join(f"val {t.identifier}: {_array(t)}" for t in phone.outputs),
        "@STATES@": "\n".join(
            f"    var {t.identifier} = {_array(t)}({t.size})" for t in phone.states
        ),
        "@RESET@": "\n".join(
            f"        {t.identifier} = {_array(t)}({t.size})" for t in phone.states
        ),
        "@ARGUMENTS@": ", ".join(f"{t.identifier}: {_array(t)}" for t in phone.inputs),
        "@INPUTS@": ",\n".join(
            f"            {_text(t.name)} to {WORDS[t.dtype]}Buffer.wrap({t.identifier})"
            for t in (*phone.inputs, *phone.states)
        ),
        "@BUFFERS@": "\n".join(
            f"        val {t.identifier} = {WORDS[t.dtype]}Buffer.allocate({t.size})"
            for t in (*phone.outputs, *phone.next_states)
        ),
        "@OUTPUTS@": ",\n".join(
            f"            {_text(t.name)} to {t.identifier}"
            for t in (*phone.outputs, *phone.next_states)
        ),
        "@MOVED@": "\n".join(
            f"        {state.identifier} = {after.identifier}.array()"
            for state, after in zip(phone.states, phone.next_states, strict=True)
        ),
        "@VALUES@": ", ".join(f"{t.identifier}.array()" for t in phone.outputs),
    }
    return filled(text.MODEL, parts)


def _self_check(phone: PhoneProgram, cases: list[str]) -> str:
    count = len(phone.inputs)

    def converted(tensor: PhoneTensor, values: str) -> str:
        word = WORDS[tensor.dtype]
        return f"{_array(tensor)}({tensor.size}) {{ {values}[@AT@it].to{word}() }}"

    def at(tensor: PhoneTensor, values: str) -> str:
        offset = f"t * {tensor.size} + " if tensor.timed else ""
        return converted(tensor, values).replace("@AT@", offset)

    outputs = [
        f'                differs("$name, step $t", {_text(t.name)}, result.{t.identifier}.map '
        f"{{ it.toDouble() }}, truth[{i}].drop(t * {t.size}).take({t.size}), budgets[{i}])"
        for i, t in enumerate(phone.outputs)
        if t.timed
    ]
    last = [
        f"            differs(name, {_text(t.name)}, last!!.{t.identifier}.map"
        f" {{ it.toDouble() }}, truth[{i}], budgets[{i}])"
        for i, t in enumerate(phone.outputs)
        if not t.timed
    ]
    finals = [
        f"            differs(name, {_text(after.name)}, model.{state.identifier}.map"
        f" {{ it.toDouble() }}, truth[{len(phone.outputs) + i}], budgets[{len(phone.outputs) + i}])"
        for i, (state, after) in enumerate(zip(phone.states, phone.next_states, strict=True))
    ]
    parts = {
        "@CASES@": ", ".join(_text(name) for name in cases),
        "@FEEDS@": str(len(phone.inputs) + len(phone.states)),
        "@TRUTHS@": str(len(phone.outputs) + len(phone.states)),
        "@BEGIN@": "\n".join(
            f"            model.{t.identifier} = "
            + converted(t, f"feeds[{count + i}]").replace("@AT@", "")
            for i, t in enumerate(phone.states)
        ),
        "@STEP@": ",\n".join(
            f"                    {at(t, f'feeds[{i}]')}" for i, t in enumerate(phone.inputs)
        ),
        "@COMPARED@": "\n".join(outputs),
        "@LAST@": "\n".join([*last, *finals]),
    }
    return filled(text.SELF_CHECK, parts)


def _array(tensor: PhoneTensor) -> str:
    return f"{WORDS[tensor.dtype]}Array"


def _text(name: str) -> str:
    return quoted(name).replace("$", "\\$")


PACKAGER = Packager(name="android", help="a Kotlin app on LiteRT", make=make, format="tflite")
