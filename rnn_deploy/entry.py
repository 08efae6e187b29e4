"""The entry point of `rnn-deploy`: a signal during start-up ends the process without a traceback.

Nothing is written before `cli.main` handles signals itself, so the system can end the process.
"""

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Import the command line and run it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from rnn_deploy.cli import ENDED_BY_SIGNAL
    from rnn_deploy.cli import main as run

    try:
        run()
    except SystemExit as end:
        if end.code in ENDED_BY_SIGNAL:  # TensorFlow takes seconds to leave an interpreter
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, AttributeError):
                    stream.flush()
            os._exit(int(str(end.code)))
        raise
