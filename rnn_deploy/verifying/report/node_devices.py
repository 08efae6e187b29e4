"""Where each recurrent node really ran, beside where it was asked to run.

Read from the runtime's own profile of one run, or from the graph it made; of a runtime that has
neither it is said that nothing is known.
"""

from collections.abc import Iterator
from dataclasses import replace

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import BundleError, RnnDeployError
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.placement import ReportsPlacement
from rnn_deploy.verifying.report.report import NodeDevice, UnfinishedCheck, UnknownPlacement

CHECK = "placement"


def placed(
    runtime: Runtime, bundle: Bundle, options: RunOptions
) -> Iterator[NodeDevice | UnfinishedCheck | UnknownPlacement]:
    """Every recurrent node of every entry point, and a fault for each that ran elsewhere."""
    if not isinstance(runtime, ReportsPlacement):
        yield UnknownPlacement(runtime.name)
        return
    for entry in bundle.manifest.entries:
        try:
            nodes = runtime.placements(bundle, replace(options, entry=entry.name))
        except BundleError:
            yield UnknownPlacement(
                runtime.name
            )  # no golden vector to run; a damaged one was refused before
            return
        except RnnDeployError as error:
            yield UnfinishedCheck(runtime.name, CHECK, entry.name, str(error))
            continue
        if nodes is None:
            yield UnknownPlacement(runtime.name)
            return
        for node in nodes:
            if not node.is_shape_arithmetic:
                found = NodeDevice(
                    runtime.name, entry.name, node.node, node.op_type, node.provider,
                    runtime.provider,
                )  # fmt: skip
                yield found
                if not found.passed:
                    yield UnfinishedCheck(
                        runtime.name, CHECK, entry.name, f"{node}, not {found.asked}"
                    )
