"""The entry point of a bundle, in one format, that a starter program runs."""

from dataclasses import dataclass
from functools import cached_property

from rnn_deploy.bundle import Artifact, Bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.packaging.starter.names import identifiers, shown
from rnn_deploy.runtimes.base import artifact_wrong_on
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint, TensorSpec


@dataclass(frozen=True)
class StarterProgram:
    """An entry point and its model file.

    streams: the program may run a sequence in chunks, since it carries the states.
    """

    bundle: Bundle
    entry: EntryPoint
    artifact: Artifact
    reserved: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Return the name of the model."""
        return self.bundle.manifest.source.name

    @property
    def streams(self) -> bool:
        return self.entry.name == STREAM

    @property
    def time(self) -> str | None:
        """Return the symbol of the steps, or None if the model has no symbol or several."""
        symbols = self.entry.time_symbols
        return symbols[0] if len(symbols) == 1 else None

    @cached_property
    def names(self) -> dict[str, str]:
        """Return the identifier of each input, output and state by tensor name."""
        tensors = (*self.entry.all_inputs, *self.entry.all_outputs)
        return identifiers((tensor.name for tensor in tensors), self.reserved)

    def is_timed(self, tensor: TensorSpec) -> bool:
        """Return whether axis 1 of a tensor is the steps."""
        return len(tensor.shape) > 1 and self.time is not None and tensor.shape[1] == self.time

    def model_files(self) -> dict[str, bytes]:
        """Return the model file, and its weights file if there is one, without their folders."""
        paths = [self.artifact.path, *([self.artifact.weights] if self.artifact.weights else [])]
        return {path.rpartition("/")[2]: self.bundle.read(path) for path in paths}

    @property
    def model_file(self) -> str:
        """Return the name of the model file."""
        return self.artifact.path.rpartition("/")[2]


def program_of(
    bundle: Bundle, format: str, runtime: str, reserved: tuple[str, ...] = ()
) -> StarterProgram:
    """Return the program of a bundle: a stream if chunks are exact, else whole sequences.

    reserved: identifiers that the program uses itself. Raises an error for a bundle without the
    format, for a runtime that computes it wrongly, and for shapes that a program cannot fill.
    """
    entries = {entry.name: entry for entry in bundle.manifest.entries}
    stream = entries.get(STREAM)
    if stream is not None and stream.chunked.ok and len(stream.time_symbols) == 1:
        entry = stream
    else:
        entry = bundle.manifest.entry(SEQUENCE)
    artifact = bundle.manifest.artifact(format, entry.name)
    if artifact is None:
        raise InputError(
            "E-BUNDLE-NO-ARTIFACT",
            f"{bundle.root} has no {format} artifact of the entry point '{entry.name}'; export it"
            f" with --to {format}",
        )
    if artifact.details.get("integers"):
        raise InputError(
            "E-OPTION-PACKAGER-INTEGERS",
            "a starter program takes and returns float32, and the inputs and outputs of the"
            f" bundle's {format} file are integers; export it without --io",
        )
    wrong = artifact_wrong_on(artifact, runtime)
    if wrong:
        raise RuntimeUnavailableError("E-RUNTIME-WRONG", f"runtime '{runtime}': {wrong}")
    return StarterProgram(bundle, entry, artifact, reserved)


def preparation(program: StarterProgram) -> str:
    """Return a README paragraph if the bundle preprocesses inputs, which the program does not."""
    steps = attachments_of(program.bundle).steps
    if not any(steps.values()):
        return ""
    names = ", ".join(map(shown, steps))
    return (
        f"\n\nThe bundle prepares raw inputs ({names}): it scales numbers or maps words to ids."
        "\nThis program does not: give it what the model takes."
    )
