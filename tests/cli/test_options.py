"""Commands that get their parameters as dataclasses."""

from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rnn_deploy.cli.options import grouped
from rnn_deploy.errors import InputError
from tests.support.errors import raises


@dataclass(frozen=True)
class Files:
    output: Path
    force: bool = False

    def __post_init__(self) -> None:
        if self.output.suffix == ".txt":
            raise InputError("E-OPTION-X", f"--output {self.output}: not a text file")


@dataclass(frozen=True)
class Speed:
    threads: int = 7


@click.command()
@click.argument("model")
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--force", is_flag=True)
@grouped(Files, Speed)
def command(files, speed, model):
    """Say what was given."""
    click.echo(f"{files} {speed} {model}")


def test_parameters_go_to_the_dataclass_that_has_the_field():
    ended = CliRunner().invoke(command, ["m", "--output", "a/b", "--force"])
    assert ended.output == f"{Files(Path('a/b'), True)} {Speed(7)} m\n"


def test_a_dataclass_checks_its_values():
    with raises(InputError, "E-OPTION-X", "b.txt"):
        CliRunner().invoke(command, ["m", "--output", "b.txt"], catch_exceptions=False)


def test_a_field_without_default_and_parameter_is_a_defect():
    with pytest.raises(TypeError, match="output"):
        grouped(Files)(lambda files: None)(force=True)


def test_the_help_stays():
    assert "Say what was given." in CliRunner().invoke(command, ["--help"]).output
