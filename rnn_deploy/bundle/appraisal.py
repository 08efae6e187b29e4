"""The errors of quantisation, by model file of a bundle: an extension of the manifest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rnn_deploy.bundle.decoding import decoded
from rnn_deploy.bundle.manifest import Extension, Manifest, QuantisationError
from rnn_deploy.errors import BundleError

EXTENSION = "quantisation"
GOLDEN, CALIBRATION = "golden vectors", "calibration data and golden vectors"


@dataclass(frozen=True)
class FileErrors:
    """The errors of the outputs and states that one model file or signature computes."""

    file: str
    costs: tuple[QuantisationError, ...]


@dataclass(frozen=True)
class FileReport:
    """The errors of every quantised model file. measured_on: the data, in words."""

    measured_on: str
    files: tuple[FileErrors, ...]


@dataclass(frozen=True)
class Appraisal:
    """The errors that the export measured. costs: over all data; the budgets come from them."""

    costs: tuple[QuantisationError, ...]
    warnings: tuple[str, ...]
    files: tuple[FileErrors, ...]

    def extension(self, measured_on: str) -> Mapping[str, Extension]:
        """Return the extension of the manifest."""
        return {EXTENSION: Extension(asdict(FileReport(measured_on, self.files)))}


def file_report(manifest: Manifest) -> FileReport | None:
    """Return the errors by model file, or None; raise BundleError if they are damaged."""
    extension = manifest.extensions.get(EXTENSION)
    if extension is None:
        return None
    try:
        report: FileReport = decoded(FileReport, extension.data)
    except ValueError as error:
        raise BundleError(
            "E-BUNDLE-DAMAGED",
            f"the manifest's extension '{EXTENSION}' is damaged: {error}; export the model again",
        ) from error
    return report
