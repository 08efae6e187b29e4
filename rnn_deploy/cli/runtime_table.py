"""The table of runtimes in `rnn-deploy inspect`: the result and the model files of each."""

from collections.abc import Sequence

from rnn_deploy.bundle import Bundle
from rnn_deploy.cli.console import table
from rnn_deploy.errors import RnnDeployError, one_line
from rnn_deploy.runtimes.base import Runtime, why_wrong
from rnn_deploy.runtimes.registry import RUNTIMES

COLUMNS = ("runtime", "result", "reason", "model files")
RIGHT, WRONG, NOT_TESTED = "right", "wrong", "not tested"
TESTED_BY = ("sequence", "states")


def show_runtimes(bundle: Bundle, *, test: bool) -> None:
    """Show every runtime. test: run the golden vectors on the available ones."""
    rows = [(name, *_row(bundle, runtime, test=test)) for name, runtime in RUNTIMES.items()]
    table("runtimes", COLUMNS, rows)


def _row(bundle: Bundle, runtime: Runtime, *, test: bool) -> tuple[str, str, str]:
    """Return the result, the reason and the model files of one runtime."""
    files = _files(bundle, runtime)
    if not files:
        return NOT_TESTED, f"the bundle has no {runtime.format} file", ""
    shown = ", ".join(files)
    why = why_wrong(bundle, runtime)
    if why is not None:
        return WRONG, why, shown
    missing = runtime.why_unavailable()
    if missing is not None:
        return NOT_TESTED, missing, shown
    if not test:
        return NOT_TESTED, "add --test, or run rnn-deploy verify", shown
    return (*_tested(bundle, runtime), shown)


def _tested(bundle: Bundle, runtime: Runtime) -> tuple[str, str]:
    from rnn_deploy.verifying import verify

    try:
        report = verify(bundle, runtimes=[runtime], checks=TESTED_BY)
    except RnnDeployError as error:
        return WRONG, one_line(error)
    return (RIGHT if report.passed else WRONG), report.verdict


def _files(bundle: Bundle, runtime: Runtime) -> Sequence[str]:
    found = (a.path for a in bundle.manifest.artifacts if a.format == runtime.format)
    return list(dict.fromkeys(found))
