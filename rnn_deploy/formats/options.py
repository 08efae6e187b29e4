"""The options of an export: those of every export, and those that formats declare."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import Format, PlanConstraints
from rnn_deploy.formats.registry import (
    all_formats,
    all_options,
    default_formats,
    format_named,
    quantize_modes,
)
from rnn_deploy.spec import Array
from rnn_deploy.spec.opening import Opening

# input: states are inputs and outputs of the stream entry point. reset: no stream, each call starts
# from zero. keep: no stream, each call starts from the model's current states, stored in the file.
STATES = ("input", "reset", "keep")
NO_QUANTISATION = "none"
OPEN = "open"  # any batch, or any number of steps
# keep: as in the model. off: layers that drop values at inference no longer do so.
DROPOUT = ("keep", "off")


class ExportOptions:
    """The options of an export, checked: InputError for options that contradict each other.

    to: names of formats; empty means the default formats.
    time: a fixed number of steps of the sequence entry point, or "open"; None leaves it as in the
    model.
    batch: a fixed number of sequences, or "open"; None leaves it as in the model.
    dropout: one of DROPOUT, for dropout that the model calls with training=True.
    state: one of STATES, how states are exported.
    quantize: store weights in fewer bits, "none" or a mode of the formats.
    calibration: real inputs by name, (sequences, time, ...): they set the ranges of int8, and the
    error of a quantised model is measured on them too.
    evaluate: other real inputs by name, on which the error of a quantised model is reported.
    samples: real inputs by name, stored as a golden vector.
    seed: random seed of the generated golden vectors.
    long: steps of the longest golden vector, 0 for none; None chooses by the model's size.
    trust_source, weights, model_from, custom: how to open the model's file, see spec/opening.py.
    attachments: class names, feature names, vocabulary and scaler, stored in the bundle.
    format_options: options that formats declare; `options[NAME]` reads one.
    """

    def __init__(
        self,
        to: str | Sequence[str] = (),
        *,
        time: int | str | None = None,
        batch: int | str | None = None,
        state: str = "input",
        dropout: str = "keep",
        quantize: str = NO_QUANTISATION,
        calibration: Mapping[str, Array] | None = None,
        evaluate: Mapping[str, Array] | None = None,
        samples: Mapping[str, Array] | None = None,
        seed: int = 0,
        long: int | None = None,
        trust_source: bool = False,
        weights: str | Path | None = None,
        model_from: str | Path | Callable[[], Any] | None = None,
        custom: str | Path | Sequence[str | Path] = (),
        attachments: Attachments | None = None,
        **format_options: Any,
    ) -> None:
        names = (to,) if isinstance(to, str) else tuple(dict.fromkeys(to)) or default_formats()
        self.formats = tuple(format_named(name) for name in all_formats() if name in names)
        for name in names:
            format_named(name)  # raises the error for an unknown one
        self.time, self.state, self.quantize, self.calibration = time, state, quantize, calibration
        self.batch, self.dropout, self.evaluate = batch, dropout, evaluate
        self.samples, self.seed, self.long = samples, seed, long
        files = (custom,) if isinstance(custom, str | Path) else tuple(custom)
        self.opening = Opening(trust_source, weights, model_from, files)
        self.attachments = attachments or Attachments()
        self._values = self._checked(format_options)
        self.constraints = _common_constraints(self.formats)
        self._check_numbers()
        self._check_quantisation()
        for format in self.formats:
            format.check(self)

    def __getitem__(self, name: str) -> Any:
        """Return the value of an option that a format declares, or its default."""
        return self._values.get(name, all_options()[name][0].default)

    @property
    def quantised(self) -> bool:
        """Return whether weights are to be quantised."""
        return self.quantize != NO_QUANTISATION

    @property
    def for_layers(self) -> tuple[str, ...]:
        """Return the flags of set options that change how layers are read or written."""
        flags = [all_options()[n][0] for n in self._values]
        words = [option.flag for option in flags if not option.saved_models]
        general = (("--time", self.time is not None), ("--batch", self.batch is not None),
                   ("--state", self.state != "input"), ("--dropout", self.dropout != "keep"),
                   ("--quantize", self.quantised))  # fmt: skip
        return (*words, *(flag for flag, given in general if given))

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that differ from their default; each is known and used by a format."""
        if "target" in given:
            raise renamed_target(given["target"])
        values = {}
        for name, value in given.items():
            if name not in all_options():
                known = ", ".join(all_options())
                raise InputError(
                    "E-EXPORT-OPTION-UNKNOWN",
                    f"no format has an option '{name}'; the options of formats are {known}",
                )
            option, users = all_options()[name]
            if value in (option.default, (option.default,), (), None):
                continue
            if option.choices and value not in option.choices:
                raise _not_one_of(option.flag, value, option.choices)
            self._check_used(option.flag, users)
            values[name] = value
        return values

    def _check_used(self, flag: str, users: Sequence[str]) -> None:
        if not {format.name for format in self.formats} & set(users):
            raise InputError(
                "E-EXPORT-OPTION-UNUSED",
                f"{flag} applies only to {', '.join(users)}; add --to {users[0]} or remove {flag}",
            )

    def _check_numbers(self) -> None:
        if self.state not in STATES:
            raise _not_one_of("--state", self.state, STATES)
        if self.dropout not in DROPOUT:
            raise _not_one_of("--dropout", self.dropout, DROPOUT)
        sizes = (("--time", self.time, 1), ("--batch", self.batch, 1), ("--long", self.long, 0))
        for flag, value, least in sizes:
            if value is None or (value == OPEN and flag != "--long"):
                continue
            if not isinstance(value, int) or value < least:
                known = f' or "{OPEN}"' if flag != "--long" else ""
                raise InputError(
                    "E-EXPORT-NUMBER",
                    f"{flag} {value}: expected a number of at least {least}{known}",
                )
        only = self.constraints.batch
        if self.batch is not None and only is not None and self.batch != only:
            raise InputError(
                "E-EXPORT-BATCH-FORMAT",
                f"--batch {self.batch}: {self.formats[0].title} runs {only} sequence at a time;"
                " remove --batch, or export another format",
            )

    def _check_quantisation(self) -> None:
        if not self.quantised:
            data = (("--calibration", self.calibration), ("--evaluate", self.evaluate))
            for flag in (flag for flag, given in data if given is not None):
                raise InputError(
                    "E-EXPORT-CALIBRATION-UNUSED",
                    f"{flag}: nothing is quantised; add --quantize MODE or remove it",
                )
            return
        if self.quantize not in quantize_modes():
            raise _not_one_of("--quantize", self.quantize, (NO_QUANTISATION, *quantize_modes()))
        able = [format for format in self.formats if format.quantize]
        self._check_used(
            "--quantize", [n for n, format in all_formats().items() if format.quantize]
        )
        if len(able) > 1:
            names = " and ".join(format.name for format in able)
            raise InputError(
                "E-FORMAT-QUANTIZE-TWICE",
                f"--quantize applies to {names}, and a bundle holds one quantised format; export"
                " each to a bundle of its own",
            )
        for format in able:
            if self.quantize not in format.quantize:
                modes = ", ".join((NO_QUANTISATION, *format.quantize))
                raise InputError(
                    "E-FORMAT-QUANTIZE",
                    f"--quantize {self.quantize}: {format.title} cannot compute with it; it knows"
                    f" {modes}",
                )


def renamed_target(value: object) -> InputError:
    """Return the error that names the option which replaced --target."""
    new = f"--to {value}" if value in all_formats() else f"--profile {value}"
    return InputError("E-OPTION-RENAMED", f"--target was renamed; use {new} instead")


def _common_constraints(formats: Sequence[Format]) -> PlanConstraints:
    """Return the constraints of all formats. They must be equal: a bundle has one plan."""
    first, *others = formats
    for other in others:
        if other.constraints != first.constraints:
            strict = max(first, other, key=lambda format: format.constraints != PlanConstraints())
            rest = ", ".join(format.name for format in formats if format is not strict)
            raise InputError(
                "E-FORMAT-ALONE",
                f"--to {strict.name} changes the shapes of all entry points, so it cannot be in one"
                f" bundle with {rest}; export it to a bundle of its own",
            )
    return first.constraints


def _not_one_of(flag: str, value: object, known: Sequence[str]) -> InputError:
    return InputError(
        "E-EXPORT-CHOICE", f"{flag} {value}: unknown value; choose from: {', '.join(known)}"
    )
