"""A packager turns a bundle into files for one destination.

A packager reads only the bundle, so it needs neither TensorFlow nor onnx. It takes files from the
bundle with `bundle.checked`, which compares sizes and hashes, and returns new files by path.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError

SWITCHED_ON = "yes"


@dataclass(frozen=True)
class PackagerOption:
    """One option of a packager: --NAME on the command line. help: one sentence.

    switch: the option has no value on the command line; if present, its value is SWITCHED_ON.
    """

    name: str
    default: str
    help: str
    switch: bool = False

    @property
    def flag(self) -> str:
        """Return the option as on the command line."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class PackageFiles:
    """The files of a package: contents by path, "/" between folders; notes for the user.

    single: the package is one file, which is written to the destination itself. Its first line
    contains `writing.MARK`, so that --force recognises it as a package.
    """

    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()
    single: bool = False


@dataclass(frozen=True)
class Packager:
    """A packager.

    name: the word after --for. help: what it makes, in one sentence. make: takes the bundle, and
    options by name with every default filled in, and returns files. Raises InputError if the bundle
    lacks something. format: the format that the bundle must have, empty for any.
    """

    name: str
    help: str
    make: Callable[[Bundle, Mapping[str, str]], PackageFiles]
    format: str = ""
    options: tuple[PackagerOption, ...] = field(default=())

    def package(self, bundle: Bundle, given: Mapping[str, str]) -> PackageFiles:
        """Return the files of a bundle. given: the options that differ from their default."""
        known = {option.name: option.default for option in self.options}
        for name in given:
            if name not in known:
                names = ", ".join(option.flag for option in self.options) or "none"
                raise InputError(
                    "E-OPTION-PACKAGER",
                    f"the packager '{self.name}' has no option '{name}'; its options: {names}",
                )
        formats = dict.fromkeys(artifact.format for artifact in bundle.manifest.artifacts)
        if self.format and self.format not in formats:
            raise InputError(
                "E-BUNDLE-NO-ARTIFACT",
                f"{bundle.root} has no {self.format} artifact, only {', '.join(formats)}; export it"
                f" with --to {self.format}",
            )
        return self.make(bundle, {**known, **given})
