"""The common part of the programs for phones: one step of one sequence by the signature `step`."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError
from rnn_deploy.packaging.starter.program import StarterProgram, program_of
from rnn_deploy.spec import STEP, TensorSpec

DTYPES = ("float32", "int32", "int64")


@dataclass(frozen=True)
class PhoneTensor:
    """A tensor of one step: its name in the file and in the program, its dtype and its size.

    timed: golden vectors have a value for each step.
    """

    name: str
    identifier: str
    dtype: str
    size: int
    timed: bool


@dataclass(frozen=True)
class PhoneProgram:
    """The tensors of the signature. next_states: in the order of `states`."""

    program: StarterProgram
    inputs: tuple[PhoneTensor, ...]
    outputs: tuple[PhoneTensor, ...]
    states: tuple[PhoneTensor, ...]
    next_states: tuple[PhoneTensor, ...]


def phone_program_of(bundle: Bundle, language: str, reserved: tuple[str, ...]) -> PhoneProgram:
    """Return the program of a bundle. language: the word after --for.

    Raises InputError for a model that cannot run step by step, and for other dtypes.
    """
    program = program_of(bundle, "tflite", "litert", reserved)
    if not program.streams or bundle.manifest.artifact("tflite", STEP) is None:
        raise InputError(
            "E-OPTION-PACKAGER-STEP",
            f"--for {language} writes a program that runs single steps, and the model file has no"
            " signature 'step'; see docs/guides/phone.md to call another one, or use --for python",
        )
    entry = program.entry

    def tensors(specs: tuple[TensorSpec, ...]) -> tuple[PhoneTensor, ...]:
        return tuple(_tensor(program, spec, language) for spec in specs)

    return PhoneProgram(
        program,
        tensors(entry.inputs),
        tensors(entry.outputs),
        tensors(tuple(state.tensor for state in entry.states)),
        tensors(tuple(state.next_tensor for state in entry.states)),
    )


def filled(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with each key replaced by its value."""
    for key, value in parts.items():
        template = template.replace(key, value)
    return template


def _tensor(program: StarterProgram, spec: TensorSpec, language: str) -> PhoneTensor:
    timed = program.is_timed(spec)
    dims = spec.shape[2 if timed else 1 :]
    sizes = [dim for dim in dims if isinstance(dim, int)]
    if spec.dtype not in DTYPES or len(sizes) < len(dims) or spec.shape[0] not in (1, "batch"):
        raise InputError(
            "E-OPTION-PACKAGER-DTYPE",
            f"tensor {spec} cannot be one step of one sequence in a program for --for {language};"
            f" it takes {', '.join(DTYPES)} with an open batch and fixed features: export the model"
            " with --batch open, or use --for python",
        )
    return PhoneTensor(spec.name, program.names[spec.name], spec.dtype, prod(sizes), timed)
