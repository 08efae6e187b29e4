"""Load the runner of an entry point for a command that runs inputs."""

from rnn_deploy.bundle import Bundle
from rnn_deploy.runtimes.base import Runner, RunOptions
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.runtimes.tuned import TUNED


def load_runner(bundle: Bundle, runtime: str | None, options: RunOptions) -> Runner:
    """Load `options.entry` on a runtime, by default the first available one."""
    chosen = runtime_named(runtime) if runtime else default_runtime(bundle)
    if chosen.name == TUNED:
        from rnn_deploy.cli.plans import report_misfits

        report_misfits(str(bundle.root), bundle.manifest.plan)
    return chosen.load(bundle, options)
