"""The command line: `rnn-deploy VERB`, one file per verb, imported only when it is called.

Standard output is data, standard error is talk. Exit codes: 0 ok, 1 verification failed, 2 wrong
usage or bad input, 3 runtime unavailable, 4 model not supported; 70 is a defect of ours.
"""

import importlib
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from rnn_deploy.cli.console import (
    lead_nowhere,
    replace_what_cannot_be_printed,
    say,
    without_chatter,
)
from rnn_deploy.errors import RnnDeployError

VERBS = (
    *(
        "build",
        "export",
        "inspect",
        "run",
        "verify",
        "debug",
        "compare",
        "bench",
        "tune",
        "package",
    ),
    *("runtimes", "conformance"),
)
DEFECT = 70


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"rnn_deploy.cli.{name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; when nobody reads on, an exit code of its own: 1 would be a verdict."""
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, SystemExit) as end:  # rich makes the second of the first
            if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
                raise
            lead_nowhere(sys.stdout)
            return 128 + signal.SIGPIPE


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="rnn-deploy")
def group(debug: bool) -> None:
    """Take a Keras recurrent model to ONNX and TFLite, run it without TensorFlow, and prove that
    outputs and states did not change.

    \b
    A first session:
      rnn-deploy export model.keras -o build/model
      rnn-deploy verify build/model
      rnn-deploy run build/model --inputs x.npz -o y.npz
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit; a mistake of the user's is one line and no traceback."""
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    replace_what_cannot_be_printed()
    with without_chatter(), _cleaning_up():
        code = _run([word for word in words if word != "--debug"], debug=debug)
    sys.exit(code)


@contextmanager
def _cleaning_up() -> Iterator[None]:
    """While open, a signal that ends this process lets it take away what is half-written."""

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    ours = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


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
            lead_nowhere(sys.stderr)
        return error.exit_code
    except (RnnDeployError, OSError) as error:
        if debug:
            raise
        say(f"error: {_said(error)}")
        return error.exit_code if isinstance(error, RnnDeployError) else 2
    except Exception as error:
        if debug:
            raise
        say(
            f"error: a defect of rnn-deploy ({type(error).__name__}: {error});"
            " run it again with --debug and report what it shows"
        )
        return DEFECT


def _said(error: RnnDeployError | OSError) -> str:
    if isinstance(error, RnnDeployError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; nothing was changed"
