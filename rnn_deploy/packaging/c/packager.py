"""`--for c`: the C sources of a bundle, renamed, with a self-test and a README."""

import re
from collections.abc import Mapping
from typing import Any

from rnn_deploy.bundle import Bundle, cases_of
from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.packaging.base import PackageFiles, Packager, PackagerOption
from rnn_deploy.packaging.c.interface import CInterface
from rnn_deploy.packaging.c.readme import readme
from rnn_deploy.packaging.c.selftest import selftest
from rnn_deploy.packaging.proof import budgets_of, widest_entry
from rnn_deploy.spec import EntryPoint
from rnn_deploy.verifying.judge.tolerance import Budgets

FOLDER, SOURCES = "c", ("model.h", "model.c", "model_weights.c")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def make(bundle: Bundle, options: Mapping[str, str]) -> PackageFiles:
    """Return the sources, a self-test and a README."""
    prefix = options["prefix"]
    if not _IDENTIFIER.fullmatch(prefix):
        raise InputError(
            "E-OPTION-PREFIX",
            f"--prefix {prefix}: expected an identifier of C: a letter, then letters, digits and _",
        )
    interface, entry = interface_of(bundle), widest_entry(bundle)
    budgets = budgets_of(bundle, FOLDER)
    cases = [case for case in cases_of(bundle) if entry.name in case.entries]
    texts = {name: bundle.read(f"{FOLDER}/{name}").decode() for name in SOURCES}
    texts["model.h"] = _with_budgets(texts["model.h"], entry, budgets, cases)
    texts["model_selftest.c"] = selftest(interface, entry, cases, budgets)
    texts["README.md"] = readme(bundle.manifest.source.name, interface)
    files = {_renamed(n, prefix): _renamed(t, prefix).encode() for n, t in texts.items()}
    return PackageFiles(files)


def interface_of(bundle: Bundle) -> CInterface:
    """Return the arguments of the functions in a bundle's C files."""
    extension = bundle.manifest.extensions.get("c")
    try:
        return CInterface.read(None if extension is None else extension.data)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            "E-BUNDLE-DAMAGED",
            f"{bundle.root}: the manifest does not describe the C files ({error}); export again",
        ) from error


def _with_budgets(header: str, entry: EntryPoint, budgets: Budgets, cases: list[Any]) -> str:
    """Return the header with the largest allowed error of each output and state."""
    largest = {
        tensor.name: max((budgets.budget_of(case, tensor.name).atol for case in cases), default=0.0)
        for tensor in entry.all_outputs
    }
    lines = [f"   {name}: {value:.1e}\n" for name, value in largest.items()]
    comment = (
        "/* Largest error against the same model in float64 that rnn-deploy allows, derived from\n"
        f"   TensorFlow's own:\n{''.join(lines)}   model_selftest.c proves it. */\n"
    )
    return header.replace("#ifndef MODEL_H\n", comment + "#ifndef MODEL_H\n", 1)


def _renamed(text: str, prefix: str) -> str:
    """Make `prefix` the start of names and file names that start with `model`."""
    text = re.sub(r"\bMODEL(?=_)", prefix.upper(), text)
    return re.sub(r"\bmodel(?=_|\.[ch]\b)", prefix, text)


PACKAGER = Packager(
    name="c",
    help="C99 sources with a self-test and a README",
    make=make,
    format="c",
    options=(
        PackagerOption("prefix", "model", "Begin the names of functions and files with this."),
    ),
)
