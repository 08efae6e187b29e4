"""Reject a misplaced node: one that did not run on the requested device.

The devices come from the runtime's own profile of one run, or from the graph it compiled. If a
runtime has neither, the report says that the placement is unknown.
"""

from collections.abc import Iterator
from dataclasses import replace

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import BundleError, RnnDeployError
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.placement import ReportsPlacement
from rnn_deploy.verifying.report.report import FailedCheck, NodeDevice, UnknownPlacement

CHECK = "placement"


def node_devices(
    runtime: Runtime, bundle: Bundle, options: RunOptions
) -> Iterator[NodeDevice | FailedCheck | UnknownPlacement]:
    """Yield the device of every node to check, and a failed check for each misplaced one."""
    if not isinstance(runtime, ReportsPlacement):
        yield UnknownPlacement(runtime.name)
        return
    for entry in bundle.manifest.entries:
        try:
            nodes = runtime.placements(bundle, replace(options, entry=entry.name))
        except BundleError:  # no golden vector to run; a damaged bundle was refused before
            nodes = None
        except RnnDeployError as error:
            yield FailedCheck(runtime.name, CHECK, entry.name, str(error))
            continue
        if nodes is None:
            yield UnknownPlacement(runtime.name)
            return
        for node in nodes:
            if not node.is_shape_arithmetic:
                device = NodeDevice(
                    runtime.name, entry.name, node.node, node.op_type, node.provider,
                    runtime.provider,
                )  # fmt: skip
                yield device
                if not device.passed:
                    message = f"{node}, not {device.requested}"
                    yield FailedCheck(runtime.name, CHECK, entry.name, message)
