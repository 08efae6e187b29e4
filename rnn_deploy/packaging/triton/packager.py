"""`--for triton`: a model repository for NVIDIA's Triton, with a check of the running server."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from rnn_deploy.bundle import Artifact, Bundle, GoldenCase, cases_of
from rnn_deploy.errors import BundleError, InputError, RuntimeUnavailableError
from rnn_deploy.packaging.base import PackageFiles, Packager, PackagerOption
from rnn_deploy.packaging.proof import budgets_of
from rnn_deploy.packaging.triton import config as configs
from rnn_deploy.packaging.triton.config import (
    DATA_TYPES,
    IDLE_SECONDS,
    ONNX_RUNTIME,
    PYTHON,
    ModelConfig,
)
from rnn_deploy.packaging.triton.golden import chosen_cases, expected_json, golden_npz
from rnn_deploy.packaging.triton.graph import contradictions, graph_of, too_new
from rnn_deploy.packaging.triton.readme import readme
from rnn_deploy.runtimes.base import artifact_wrong_on
from rnn_deploy.runtimes.onnx_file import OnnxFile, read_onnx
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint

FORMAT, RUNTIME = "onnx", "ort-cpu"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ServedModel:
    """One model of the repository: its configuration, the file that it runs, its entry point."""

    config: ModelConfig
    file: OnnxFile
    entry: EntryPoint


def make(bundle: Bundle, options: Mapping[str, str]) -> PackageFiles:
    """Return the repository, the check with its golden vectors, and a README."""
    backend = options["backend"]
    if backend not in (ONNX_RUNTIME, PYTHON):
        raise InputError(
            "E-OPTION-BACKEND", f"--backend {backend}: expected {ONNX_RUNTIME} or {PYTHON}"
        )
    notes: list[str] = []
    models = list(_models(bundle, _name(bundle, options), backend, notes))
    cases = list(cases_of(bundle))
    proofs = [(m.config, m.entry, _cases(m, cases, bundle)) for m in models]
    made = {path: content for model in models for path, content in _files(model).items()}
    made |= {
        "check.py": template("check").encode(),
        "expected.json": expected_json([model.config for model in models]),
        "golden.npz": golden_npz(proofs, budgets_of(bundle, FORMAT)),
        "README.md": readme(bundle.manifest.source.name, [m.config for m in models]).encode(),
    }
    return PackageFiles(made, tuple(notes))


def template(name: str) -> str:
    """Return the text of a file in templates/."""
    return files(__package__).joinpath("templates", f"{name}.txt").read_text(encoding="utf-8")


def _name(bundle: Bundle, options: Mapping[str, str]) -> str:
    given = options["model_name"]
    if given and not _NAME.fullmatch(given):
        raise InputError(
            "E-OPTION-MODEL-NAME",
            f"--model-name {given}: expected letters, digits, '_', '-' and '.', the first a letter"
            " or digit",
        )
    found = re.sub(r"[^A-Za-z0-9_-]+", "_", bundle.manifest.source.name.removesuffix(".keras"))
    return given or found.strip("_-") or "model"


def _models(bundle: Bundle, name: str, backend: str, notes: list[str]) -> Iterator[ServedModel]:
    for entry in bundle.manifest.entries:
        artifact = bundle.manifest.artifact(FORMAT, entry.name)
        if artifact is None:
            continue
        why = configs.why_not_stateful(entry) if entry.name == STREAM else ""
        if why:
            notes.append(f"the repository has no stateful model: {why}")
            continue
        _refuse_types(entry)
        own = name if entry.name == SEQUENCE else f"{name}_{entry.name}"
        kind = configs.stateful if entry.name == STREAM else configs.stateless
        yield _served(bundle, artifact, kind(own, entry, backend), entry, notes)


def _refuse_types(entry: EntryPoint) -> None:
    for tensor in entry.all_inputs + entry.all_outputs:
        if tensor.dtype not in DATA_TYPES:
            raise InputError(
                "E-OPTION-TRITON-DTYPE",
                f"Triton has no data type for '{tensor.name}', which is {tensor.dtype}; use float32"
                " in the model",
            )


def _served(
    bundle: Bundle, artifact: Artifact, config: ModelConfig, entry: EntryPoint, notes: list[str]
) -> ServedModel:
    """Return the model, after its configuration was compared with the graph."""
    wrong = artifact_wrong_on(artifact, RUNTIME)
    if wrong:
        raise RuntimeUnavailableError(
            "E-RUNTIME-WRONG", f"Triton runs ONNX Runtime, and on '{artifact.path}' {wrong}"
        )
    file = read_onnx(bundle, artifact)
    try:
        graph = graph_of(file.content)
    except ValueError as error:
        raise BundleError(
            "E-BUNDLE-DAMAGED", f"{file.path} is no ONNX file ({error}); export the model again"
        ) from error
    found = contradictions(config, graph)
    if found:
        raise BundleError(
            "E-BUNDLE-GRAPH",
            f"{file.path}: its graph contradicts the manifest: {found[0]}; export the model again",
        )
    newer = too_new(graph)
    if newer:
        notes.append(f"{artifact.path} has {newer}: it needs a Triton later than 24.10")
    if not config.max_batch and not config.states:
        notes.append(f"Triton makes no batches of '{config.name}': {_why_one_batch(entry)}")
    return ServedModel(config, file, entry)


def _why_one_batch(entry: EntryPoint) -> str:
    return entry.why_one_batch or "a tensor has no dimension beside the batch"


def _cases(model: ServedModel, cases: Sequence[GoldenCase], bundle: Bundle) -> Sequence[GoldenCase]:
    found = chosen_cases(model.config, model.entry, cases)
    if not found:
        raise BundleError(
            "E-BUNDLE-NO-GOLDEN",
            f"{bundle.root} has no golden vector that can check '{model.config.name}'; export the"
            " model again",
        )
    return found


def _files(model: ServedModel) -> dict[str, bytes]:
    config = model.config
    folder = PurePosixPath("models", config.name)
    version = folder / "1"
    made = {
        folder / "config.pbtxt": configs.config_text(config).encode(),
        version / "model.onnx": model.file.content,
        **{version / name: content for name, content in model.file.external.items()},
    }
    if config.backend == PYTHON:
        made[version / "model.py"] = _python_model(config).encode()
    return {str(path): content for path, content in made.items()}


def _python_model(config: ModelConfig) -> str:
    values = {
        "@NAME@": config.name,
        "@INPUTS@": repr([port.name for port in config.inputs]),
        "@OUTPUTS@": repr([port.name for port in config.outputs]),
        "@STATES@": repr([(s.input, s.output, s.dtype, s.dims) for s in config.states]),
        "@IDLE@": str(IDLE_SECONDS),
    }
    return re.sub("|".join(values), lambda found: values[found[0]], template("model"))


PACKAGER = Packager(
    name="triton",
    help="a model repository for NVIDIA Triton with a check of the running server",
    make=make,
    format=FORMAT,
    options=(
        PackagerOption("model_name", "", "Name of the models in the repository."),
        PackagerOption("backend", ONNX_RUNTIME, "Backend of the models: onnxruntime or python."),
    ),
)
