"""`--for web`: a page that runs the model with onnxruntime-web and checks itself when it opens."""

import json
from collections.abc import Mapping
from importlib.resources import files as resources
from typing import Any

from rnn_deploy.bundle import Bundle, cases_of
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.errors import BundleError, InputError, RuntimeUnavailableError
from rnn_deploy.packaging.base import PackageFiles, Packager, PackagerOption
from rnn_deploy.packaging.proof import budgets_of, widest_entry
from rnn_deploy.packaging.web.controls import AUTO, CONTROLS, control_for
from rnn_deploy.packaging.web.generating import (
    CONTROL,
    OPTIONS,
    Generation,
    generates,
    generation_of,
)
from rnn_deploy.packaging.web.golden import golden_json
from rnn_deploy.packaging.web.single_file import single_file
from rnn_deploy.runtimes.base import artifact_wrong_on
from rnn_deploy.runtimes.ort_web.description import (
    STEM,
    description,
    unsupported_dtypes,
)
from rnn_deploy.runtimes.ort_web.npm_package import FLAG, VERSION, ort_web_files
from rnn_deploy.spec import ENCODE, EntryPoint
from rnn_deploy.verifying.judge.encode_decode import CHECK as ENCODE_DECODE

FORMAT = "onnx"
MODULES = (
    "rnn_deploy.runtimes.ort_web",
    ("rnn-text.js", "rnn-model.js", "rnn-generate.js", "rnn-model.d.ts", "rnn-generate.d.ts"),
)
PAGE = (
    *("index.html", "page.css", "page.js", "verify.js", "plots.js", "controls.js", "results.js"),
    *("generate.js", "attention.js"),
    "LICENSE-onnxruntime-web.txt",
)
ENGINE = "ort-cpu"  # onnxruntime-web has the same operators as this runtime


def make(bundle: Bundle, options: Mapping[str, str]) -> PackageFiles:
    """Return the files of the page, or the page as one file."""
    contents, notes = _model_files(bundle, options)
    ort = ort_web_files(options["onnxruntime_web"])
    contents |= {"ort/ort.mjs": ort.module, "ort/ort-wasm.wasm": ort.wasm}
    contents |= _static_files()
    if options["single_file"]:
        return PackageFiles({"index.html": single_file(contents)}, notes, single=True)
    serve = (
        "serve the folder over HTTP, for example: python -m http.server -d FOLDER 8000; a browser"
        " does not open it from a file (use --single-file for that)"
    )
    return PackageFiles(contents, (*notes, serve))


def _model_files(
    bundle: Bundle, options: Mapping[str, str]
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the files of the model that the page runs, and notes."""
    able = generates(bundle, FORMAT)
    if options["control"] == CONTROL and not able:
        raise InputError(
            "E-OPTION-CONTROL",
            f"--control {CONTROL} does not fit this model: its bundle has no {FORMAT} files for"
            " encode and decode; rnn-deploy inspect says why",
        )
    if options["control"] == CONTROL or (options["control"] == AUTO and able and options["start"]):
        return _generating_files(bundle, generation_of(bundle, options)), ()
    unused = [option.flag for option in OPTIONS if options[option.name] != option.default]
    if unused:
        raise InputError(
            "E-OPTION-CONTROL", f"{unused[0]} applies only to --control {CONTROL}; add it"
        )
    entry = widest_entry(bundle)
    control = control_for(options["control"], entry, attachments_of(bundle))
    facts = {"control": control}
    note = (
        "the page runs the whole model; add --start TOKEN (and --vocabulary FILE) for a page that"
        " generates sequences from a source"
    )
    files = _entry_files(bundle, entry, STEM, facts)
    golden = _golden(bundle, entry)
    return {**files, "golden.json": _json(golden)}, (note,) if able else ()


def _generating_files(bundle: Bundle, generation: Generation) -> dict[str, bytes]:
    facts = {"control": CONTROL, "generate": generation.facts()}
    return {
        **_entry_files(bundle, generation.decode, STEM, facts),
        **_entry_files(bundle, generation.encode, ENCODE, {}),
        "golden.json": _json(_golden(bundle, generation.decode, ENCODE_DECODE)),
        "golden-encode.json": _json(_golden(bundle, generation.encode, ENCODE_DECODE)),
    }


def _entry_files(
    bundle: Bundle, entry: EntryPoint, stem: str, more: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return the description and the model file of one entry point."""
    artifact = bundle.manifest.artifact(FORMAT, entry.name)
    if artifact is None:
        raise InputError(
            "E-BUNDLE-NO-ARTIFACT",
            f"{bundle.root} has no {FORMAT} artifact for '{entry.name}'; export it with --to"
            f" {FORMAT}",
        )
    wrong = artifact_wrong_on(artifact, ENGINE)
    if wrong:
        raise RuntimeUnavailableError(
            "E-RUNTIME-WRONG", f"ONNX Runtime runs in the page, and {wrong}"
        )
    _refuse_dtypes(entry)
    facts = {**description(bundle, entry, artifact, stem), **more}
    contents = {f"{stem}.json": _json(facts), f"{stem}.onnx": bundle.read(artifact.path)}
    if artifact.weights is not None:
        contents[f"{stem}.onnx.data"] = bundle.read(artifact.weights)
    return contents


def _golden(bundle: Bundle, entry: EntryPoint, check: str = "") -> dict[str, Any]:
    cases = list(cases_of(bundle, special=bool(check)))
    golden = golden_json(entry, cases, budgets_of(bundle, FORMAT), check)
    if not golden["cases"]:
        raise BundleError(
            "E-BUNDLE-GOLDEN-INCOMPLETE",
            f"{bundle.root} has no golden vector for '{entry.name}', so the page could not check"
            " itself; export the model again",
        )
    return golden


def _refuse_dtypes(entry: EntryPoint) -> None:
    for tensor in unsupported_dtypes(entry):
        raise InputError(
            "E-OPTION-WEB-DTYPE",
            f"'{tensor.name}' is {tensor.dtype}, for which JavaScript has no arrays; convert it to"
            " float32 in the model, and export again",
        )


def _static_files() -> dict[str, bytes]:
    package, names = MODULES
    contents = {name: resources(package).joinpath("js", name).read_bytes() for name in names}
    page = resources("rnn_deploy.packaging.web").joinpath("page")
    return contents | {name: page.joinpath(name).read_bytes() for name in PAGE}


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


PACKAGER = Packager(
    name="web",
    help=f"a web page that runs the model with onnxruntime-web {VERSION} and checks itself",
    make=make,
    format=FORMAT,
    options=(
        PackagerOption("single_file", "", "Write one HTML file in place of a folder.", switch=True),
        PackagerOption(
            FLAG.removeprefix("--").replace("-", "_"),
            "",
            f"Folder or .tgz of onnxruntime-web {VERSION}; without it, npm's is downloaded once and"
            " cached.",
        ),
        PackagerOption(
            "control",
            AUTO,
            f"The page's control for inputs: {', '.join((AUTO, *CONTROLS, CONTROL))}.",
        ),
        *OPTIONS,
    ),
)
