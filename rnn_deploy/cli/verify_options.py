"""The options of `rnn-deploy verify` that choose runtimes, checks and inputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rnn_deploy.bundle import Bundle
from rnn_deploy.cli.arrays import read_arrays
from rnn_deploy.cli.reference_model import ModelOption
from rnn_deploy.cli.report_files import ReportFiles
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.isolation import TIME_LIMIT
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.spec.shapes import shape_from
from rnn_deploy.verifying.judge.checks import CHECKS, QUICK
from rnn_deploy.verifying.judge.given import GivenSizes
from rnn_deploy.verifying.report.coverage import COVERS

_NOT_QUICK = ", ".join(COVERS[check] for check in CHECKS if check not in QUICK)


@dataclass(frozen=True)
class VerifyOptions:
    """What to run, and how.

    shape: shapes as text, "64x8" for 64 sequences of 8 steps. inputs: a file of inputs. require:
    names of runtimes, separated by commas. stored: the results to judge again, in which case
    nothing is run. baseline: earlier results to compare with. isolate: None for the default.
    time_limit: seconds for one call of an isolated runtime, None for the default.
    """

    runtime: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    quick: bool = False
    shape: tuple[str, ...] = ()
    inputs: Path | None = None
    require: tuple[str, ...] = ()
    threads: int | None = None
    isolate: bool | None = None
    time_limit: float | None = None
    stored: Path | None = None
    baseline: Path | None = None
    fail_on_change: bool = False

    def __post_init__(self) -> None:
        if self.quick and self.check:
            raise InputError(
                "E-OPTION-CONFLICT", "--quick and --check both choose checks; give one of them"
            )
        if self.isolate is False and self.time_limit is not None:
            raise InputError(
                "E-OPTION-CONFLICT",
                "--time-limit applies only to isolated runtimes; remove it or --no-isolate",
            )
        if self.fail_on_change and self.baseline is None:
            raise InputError(
                "E-OPTION-NEEDS",
                "--fail-on-change applies only to --baseline; add --baseline RESULTS.npz",
            )
        unchosen = [name for name in self.required if self.runtime and name not in self.runtime]
        if unchosen:
            raise InputError(
                "E-OPTION-CONFLICT",
                f"--require {unchosen[0]}: it is not one of --runtime {', '.join(self.runtime)};"
                f" add --runtime {unchosen[0]}",
            )

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of the checks to run."""
        return QUICK if self.quick else self.check or tuple(CHECKS)

    @property
    def isolation(self) -> float | None:
        """Seconds for one call of an isolated runtime; None if runtimes are not isolated."""
        isolated = self.time_limit is not None or not self.quick
        if self.isolate is not None:
            isolated = self.isolate
        if not isolated:
            return None
        return TIME_LIMIT if self.time_limit is None else self.time_limit

    @property
    def required(self) -> tuple[str, ...]:
        """Return the names of --require; raise InputError for an unknown one."""
        names = [name.strip() for value in self.require for name in value.split(",")]
        return tuple(dict.fromkeys(runtime_named(name).name for name in names))

    def given(self, bundle: Bundle) -> GivenSizes:
        """Return the extra shapes and inputs to run; raise InputError if they are invalid."""
        inputs = None
        if self.inputs is not None:
            inputs = read_arrays(self.inputs, bundle.manifest.entries[0])
        return GivenSizes([shape_from(text) for text in self.shape], inputs)

    def check_stored(self, model: ModelOption, files: ReportFiles) -> None:
        """Raise InputError for options that have no effect with --from, which runs nothing."""
        running: Mapping[str, object] = {
            "--runtime": self.runtime, "--check": self.check, "--quick": self.quick,
            "--shape": self.shape, "--inputs": self.inputs, "--require": self.require,
            "--threads": self.threads, "--time-limit": self.time_limit,
            "--isolate": self.isolate is not None, "--save": files.save,
            "--against": model.against, "--model": model.model,
        }  # fmt: skip
        unused = [name for name, value in running.items() if value]
        if self.stored is not None and unused:
            raise InputError(
                "E-OPTION-CONFLICT",
                f"{unused[0]} has no effect with --from, which runs nothing; give one of them",
            )
        if self.baseline is not None and model.against is not None:
            raise InputError(
                "E-OPTION-CONFLICT",
                "--against uses other inputs than --baseline; give one of them",
            )


def verify_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of VerifyOptions to a command, without --from, --threads and isolation."""
    place = click.Path(path_type=Path)
    options = (
        click.option(
            "--runtime", multiple=True, help="A runtime to verify.  [default: all available]"
        ),
        click.option(
            "--require",
            multiple=True,
            metavar="NAMES",
            help="Fail if one of these runtimes, separated by commas, is not verified.",
        ),
        click.option(
            "--check",
            multiple=True,
            type=click.Choice(list(CHECKS)),
            help="A check.  [default: all]",
        ),
        click.option(
            "--quick",
            is_flag=True,
            help=f"Run only the checks {', '.join(QUICK)}. This does not cover {_NOT_QUICK}.",
        ),
        click.option(
            "--shape",
            multiple=True,
            metavar="BATCHxTIME",
            help="Also run golden inputs, repeated to this shape, such as 64x8. Can be repeated.",
        ),
        click.option(
            "--inputs",
            type=place,
            help="Also run these inputs: .npz, .npy, .csv or .jsonl. With --model the results are"
            " compared with the Keras model, otherwise with smaller calls of the same runtime.",
        ),
        click.option(
            "--baseline",
            type=place,
            metavar="RESULTS.npz",
            help="Show what changed since these results of --save.",
        ),
        click.option(
            "--fail-on-change",
            is_flag=True,
            help="Fail if a result differs from --baseline, also within its budget.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
