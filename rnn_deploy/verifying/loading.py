"""Load and run an exported bundle in the runtimes of its formats, each in its own process."""

from collections.abc import Sequence

from rnn_deploy.bundle import Bundle, cases_of
from rnn_deploy.errors import RnnDeployError, UnsupportedModelError, one_line
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import RUNTIMES


def check_loads(
    bundle: Bundle, names: Sequence[str], known: Sequence[Runtime] = tuple(RUNTIMES.values())
) -> tuple[str, ...]:
    """Load and run every entry point in the runtimes of these names, once.

    known: the runtimes to choose from. Returns notes about missing runtimes. Raises
    UnsupportedModelError if one does not load or run a file.
    """
    wanted = [runtime for runtime in known if runtime.name in names]
    missing = {r.name: why for r in wanted if (why := r.why_unavailable()) is not None}
    with staying([runtime for runtime in wanted if runtime.name not in missing]) as runtimes:
        for runtime in runtimes:
            for entry in bundle.manifest.entries:
                _load(bundle, runtime, entry.name)
    return tuple(
        f"not tried in {name}, for which it was written: {why}" for name, why in missing.items()
    )


def _load(bundle: Bundle, runtime: Runtime, entry: str) -> None:
    fitting = (case.feeds for case in cases_of(bundle) if entry in case.entries)
    feeds = next(fitting, None)
    try:
        runner = runtime.load(bundle, RunOptions(entry=entry))
        try:
            if feeds is not None:
                runner.run(feeds)
        finally:
            runner.close()
    except RnnDeployError as error:
        raise UnsupportedModelError(
            "E-MODEL-NOT-LOADED",
            f"model '{bundle.manifest.source.name}': {one_line(error)}; write the operation that it"
            " names with simpler ones, or export with another --profile",
        ) from error
