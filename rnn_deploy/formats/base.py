"""A format writes the model files of a bundle. It has two parts.

**Description**: a `Format`, found by its name (see registry.py). `--help`, `inspect` and messages
read it, so its module imports neither TensorFlow nor onnx.

**Writer**: the module that `Format.writer` names. It is imported only when a model is exported or
inspected, and has these functions (`FormatWriter`):

    write(read, folder, options) -> FormatFiles
        Write the files of `read.plan` below `folder`, which already has other formats' files:
        file names must be the format's own. Every entry point of the plan has an artifact, or a
        note with the reason. Input, output and state names are those of the entry points. Raise
        UnsupportedModelError, which names the layer and the reason, for a layer that the format
        cannot express exactly.
    choices(plan, options) -> [(entry point's name, LoweringChoice)]
        The lowerings that `write` would choose, without writing; for `inspect MODEL`.
    write_saved_model(read, folder, options) -> FormatFiles
        Only if `Format.saved_models`: the same for a SavedModel, whose layers are unknown.

`options` is an `ExportOptions`: `options[NAME]` is the value of a declared option or its default,
`options.quantize` the requested mode. No option may be ignored: declare one only if the writer uses
it, and let `check` refuse invalid values, before the model is opened.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from rnn_deploy.bundle.manifest import Artifact, Extension, LoweringChoice, Quantisation

if TYPE_CHECKING:
    from rnn_deploy.formats.options import ExportOptions
    from rnn_deploy.formats.read_model import ExportPlan, ReadModel, ReadSavedModel


@dataclass(frozen=True)
class FormatOption:
    """One option of a format: a keyword of `rnn_deploy.export`, and --NAME on the command line.

    default: int, bool (then a flag), str, or () for several strings. help: one sentence. choices:
    the allowed values, if they are few. many: the option may be repeated. saved_models: it applies
    to a SavedModel too. Formats that share an option share one FormatOption.
    """

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    many: bool = False
    metavar: str | None = None
    saved_models: bool = False

    @property
    def flag(self) -> str:
        """Return the option as on the command line."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class PlanConstraints:
    """The demands of a format on the plan. One bundle has one plan, so its formats must agree.

    batch: the only batch size, None for any. fixed_shapes: no open dimension in the sequence entry
    point. single_steps: the stream runs step by step, so there is no stream if single steps differ
    from the whole sequence.
    """

    batch: int | None = None
    fixed_shapes: bool = False
    single_steps: bool = False


@dataclass(frozen=True)
class FormatFiles:
    """The files that a format wrote.

    artifacts: one for each model file and entry point; their `details` are facts about one file.
    extra: paths of other files, relative to the bundle. notes: for the user. quantisation: how
    weights were quantised; the errors are measured later. extension: facts about the whole bundle,
    stored in the manifest under the format's name. load_on: runtimes that must load the files for
    the export to succeed.
    """

    artifacts: tuple[Artifact, ...]
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    quantisation: Quantisation | None = None
    extension: Extension | None = None
    load_on: tuple[str, ...] = ()


class FormatWriter(Protocol):
    """The functions of a writer's module; see the contract above."""

    write: "Callable[[ReadModel, Path, ExportOptions], FormatFiles]"
    choices: "Callable[[ExportPlan, ExportOptions], Sequence[tuple[str, LoweringChoice]]]"
    write_saved_model: "Callable[[ReadSavedModel, Path, ExportOptions], FormatFiles]"


@dataclass(frozen=True)
class Format:
    """The description of a format.

    name: the word after `--to`, and the format of its artifacts. title: its name in a sentence.
    writer: the module with the functions of `FormatWriter`. packages: the importable packages that
    writing needs; their versions are recorded. by_default: written if no format is requested.
    options: those that it reads from `ExportOptions`. check: raises InputError for invalid options.
    constraints: its demands on the plan. quantize: its modes besides "none"; quantize_packages: the
    packages that these need. saved_models: whether it can be written from a SavedModel; if not,
    why_no_saved_model is the reason.
    """

    name: str
    title: str
    writer: str
    packages: tuple[str, ...] = ()
    by_default: bool = False
    options: tuple[FormatOption, ...] = ()
    check: "Callable[[ExportOptions], None]" = lambda options: None
    constraints: PlanConstraints = PlanConstraints()
    quantize: tuple[str, ...] = ()
    quantize_packages: tuple[str, ...] = ()
    saved_models: bool = False
    why_no_saved_model: str = "it reads the model's layers"

    def load_writer(self) -> FormatWriter:
        """Import the writer. This may import TensorFlow."""
        return cast(FormatWriter, importlib.import_module(self.writer))
