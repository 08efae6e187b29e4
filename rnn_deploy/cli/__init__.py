"""The command line: `rnn-deploy VERB`, one file per verb, imported only when it is called.

Standard output is data, standard error is messages. Exit codes: 0 success, 1 verification failed,
2 wrong usage or invalid input, 3 runtime unavailable, 4 model not supported, 70 a defect of ours.
"""

import importlib
import sys
from collections.abc import Sequence

import click

from rnn_deploy.cli.console import (
    discard_output,
    escape_unprintable,
    open_standard_descriptors,
    say,
    without_native_log_lines,
)
from rnn_deploy.cli.ending import SIGNALS, Ended, ending_cleanly
from rnn_deploy.errors import RnnDeployError

VERBS = (
    *(
        "build",
        "export",
        "inspect",
        "run",
        "generate",
        "stream",
        "verify",
        "debug",
        "compare",
        "evaluate",
        "bench",
        "tune",
    ),
    *("score", "package", "runtimes", "conformance"),
)
DEFECT = 70
CLOSED_PIPE = 128 + 13  # as a shell reports SIGPIPE, which Windows does not have
ENDED_BY_SIGNAL = tuple(128 + number for number in SIGNALS)
WITHOUT_GUARD_PROCESS = ("run", "generate", "score", "stream", "runtimes", "package")


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"rnn_deploy.cli.{name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; return CLOSED_PIPE if the reader of standard output closed the pipe."""
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, SystemExit) as end:  # rich converts the first to the second
            if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
                raise
            discard_output(sys.stdout)
            return CLOSED_PIPE


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="rnn-deploy")
def group(debug: bool) -> None:
    """Convert a Keras recurrent model to ONNX, TFLite or C, run it without TensorFlow, and verify
    that its outputs and states did not change.

    \b
    A first session:
      rnn-deploy export model.keras -o build/model
      rnn-deploy verify build/model
      rnn-deploy run build/model --inputs x.npz -o y.npz
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit; a user's mistake prints one line and no traceback."""
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    escape_unprintable()
    open_standard_descriptors()
    given = [word for word in words if word != "--debug"]
    # These verbs run native code that releases Python's lock, so a thread is enough as the guard;
    # starting a guard process would slow `run` down.
    in_process = bool(given) and given[0] in WITHOUT_GUARD_PROCESS
    try:
        with without_native_log_lines(), ending_cleanly(in_process=in_process):
            code = _run(given, debug=debug)
    except Ended as end:
        say("stopped")
        code = 128 + end.number
    sys.exit(code)


def _run(words: list[str], *, debug: bool) -> int:
    try:
        code = group.main(words, prog_name="rnn-deploy", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        say("stopped")
        return 130
    except click.ClickException as error:
        try:
            error.show()
        except BrokenPipeError:
            discard_output(sys.stderr)
        return error.exit_code
    except (RnnDeployError, OSError) as error:
        if debug:
            raise
        say(f"error: {_message(error)}")
        return error.exit_code if isinstance(error, RnnDeployError) else 2
    except Exception as error:
        if debug:
            raise
        say(
            f"error: a defect of rnn-deploy ({type(error).__name__}: {error});"
            " run it again with --debug and report what it shows"
        )
        return DEFECT


def _message(error: RnnDeployError | OSError) -> str:
    if isinstance(error, RnnDeployError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; nothing was changed"
