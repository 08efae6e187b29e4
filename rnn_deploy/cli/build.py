"""`rnn-deploy build`: run a model file and save the Keras model that it returns."""

from pathlib import Path

import click

from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.console import say
from rnn_deploy.errors import InputError
from rnn_deploy.user_code import builder_in, built_by


@click.command("build")
@click.argument("file")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File for the model: .keras or .h5.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(file: str, output: Path, force: bool) -> None:
    """Build the model of FILE, a Python file with a function build_model().

    FILE:NAME calls the function NAME instead. The file is your own code and is run.
    """
    if output.suffix not in (".keras", ".h5"):
        raise InputError("E-OPTION-ENDING", f"{output}: must end in .keras or .h5")
    refuse_existing(output, force=force)
    builder = builder_in(file)
    from rnn_deploy.keras.tensorflow import keras

    model = built_by(builder, file)
    if not isinstance(model, keras.Model):
        raise InputError(
            "E-SOURCE-NO-MODEL", f"{file}: returned {type(model).__name__}, expected a keras.Model"
        )
    if not model.built:
        raise InputError(
            "E-SOURCE-NOT-BUILT",
            f"{file}: model '{model.name}' has no weights yet; start it with keras.Input, or call"
            " it once",
        )
    with writing_file(output, force=force) as draft:
        model.save(draft)
    say(f"wrote {output}: model '{model.name}', {model.count_params():,} parameters")
