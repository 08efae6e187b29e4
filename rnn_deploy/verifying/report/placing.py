"""Where each recurrent node really ran, beside where it was asked to run.

Read from the runtime's own profile of one run, or from the graph it made; of a runtime that has
neither it is said that nothing is known.
"""

from collections.abc import Iterator
from dataclasses import replace

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import BundleError, RnnDeployError
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.placement import RECURRENT, TellsPlacement
from rnn_deploy.verifying.report.report import Fault, Placed, Untold

CHECK = "placement"


def placed(
    runtime: Runtime, bundle: Bundle, options: RunOptions
) -> Iterator[Placed | Fault | Untold]:
    """Every recurrent node of every entry point, and a fault for each that ran elsewhere."""
    if not isinstance(runtime, TellsPlacement):
        yield Untold(runtime.name)
        return
    for entry in bundle.manifest.entries:
        try:
            nodes = runtime.placements(bundle, replace(options, entry=entry.name))
        except BundleError:
            yield Untold(runtime.name)  # no golden vector to run; a damaged one was refused before
            return
        except RnnDeployError as error:
            yield Fault(runtime.name, CHECK, entry.name, str(error))
            continue
        if nodes is None:
            yield Untold(runtime.name)
            return
        for node in nodes:
            if node.op_type in RECURRENT:
                found = Placed(
                    runtime.name, entry.name, node.node, node.op_type, node.provider,
                    runtime.provider,
                )  # fmt: skip
                yield found
                if not found.passed:
                    yield Fault(runtime.name, CHECK, entry.name, f"{node}, not {found.asked}")
