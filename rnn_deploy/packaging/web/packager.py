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
from rnn_deploy.packaging.web.golden import golden_json
from rnn_deploy.packaging.web.single_file import single_file
from rnn_deploy.runtimes.base import artifact_wrong_on
from rnn_deploy.runtimes.ort_web.description import (
    MODEL,
    WEIGHTS,
    description,
    unsupported_dtypes,
)
from rnn_deploy.runtimes.ort_web.npm_package import FLAG, VERSION, ort_web_files
from rnn_deploy.spec import EntryPoint

FORMAT = "onnx"
MODULES = "rnn_deploy.runtimes.ort_web", ("rnn-text.js", "rnn-model.js", "rnn-model.d.ts")
PAGE = (
    *("index.html", "page.css", "page.js", "verify.js", "plots.js", "controls.js", "results.js"),
    "LICENSE-onnxruntime-web.txt",
)
ENGINE = "ort-cpu"  # onnxruntime-web has the same operators as this runtime


def make(bundle: Bundle, options: Mapping[str, str]) -> PackageFiles:
    """Return the files of the page, or the page as one file."""
    entry = widest_entry(bundle)
    control = control_for(options["control"], entry, attachments_of(bundle))
    contents = _model_files(bundle, entry, control)
    ort = ort_web_files(options["onnxruntime_web"])
    contents |= {"ort/ort.mjs": ort.module, "ort/ort-wasm.wasm": ort.wasm}
    contents |= _static_files()
    if options["single_file"]:
        return PackageFiles({"index.html": single_file(contents)}, single=True)
    return PackageFiles(
        contents,
        (
            "serve the folder over HTTP, for example: python -m http.server -d FOLDER 8000; a"
            " browser does not open it from a file (use --single-file for that)",
        ),
    )


def _model_files(bundle: Bundle, entry: EntryPoint, control: str) -> dict[str, bytes]:
    manifest = bundle.manifest
    artifact = manifest.artifact(FORMAT, entry.name)
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
    golden = golden_json(entry, list(cases_of(bundle)), budgets_of(bundle, FORMAT))
    if not golden["cases"]:
        raise BundleError(
            "E-BUNDLE-GOLDEN-INCOMPLETE",
            f"{bundle.root} has no golden vector for '{entry.name}', so the page could not check"
            " itself; export the model again",
        )
    facts = {**description(bundle, entry, artifact), "control": control}
    contents = {
        "model.json": _json(facts),
        "golden.json": _json(golden),
        MODEL: bundle.read(artifact.path),
    }
    if artifact.weights is not None:
        contents[WEIGHTS] = bundle.read(artifact.weights)
    return contents


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
            "control", AUTO, f"The page's control for inputs: {', '.join((AUTO, *CONTROLS))}."
        ),
    ),
)
