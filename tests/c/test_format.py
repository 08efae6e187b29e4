"""What the format refuses before a model is read."""

from rnn_deploy.errors import InputError
from rnn_deploy.formats.options import ExportOptions
from tests.support.errors import raises


def test_states_cannot_be_kept_in_the_files():
    ExportOptions(("c",))
    with raises(InputError, "E-EXPORT-C-KEEP", "model_state"):
        ExportOptions(("c",), state="keep")
