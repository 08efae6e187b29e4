"""The format "c": its description."""

from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import Format
from rnn_deploy.formats.options import ExportOptions

FLOAT16, INT8_WEIGHTS = "float16", "int8-weights"


def check(options: ExportOptions) -> None:
    """Raise InputError for states that would become part of the file."""
    if options.state == "keep":
        raise InputError(
            "E-EXPORT-C-KEEP",
            "--state keep: the C target writes no states into its files; use --state input, and set"
            " the fields of model_state",
        )


FORMAT = Format(
    name="c",
    title="C",
    writer="rnn_deploy.c.files",
    check=check,
    quantize=(FLOAT16, INT8_WEIGHTS),
    why_no_saved_model="C is written from the model's layers",
)
