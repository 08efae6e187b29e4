"""Reject a misplaced node: one that did not run on the requested device.

The devices come from the runtime's own profile of one run, or from the graph it compiled. If a
runtime has neither, the report says that the placement is unknown.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import BundleError, RnnDeployError
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.placement import ReportsPlacement, misplaced
from rnn_deploy.verifying.checked_runner import failures_as_errors
from rnn_deploy.verifying.report.report import FailedCheck, NodeDevice, UnknownPlacement

CHECK = "placement"


def node_devices(
    runtime: Runtime, bundle: Bundle, options: RunOptions
) -> Iterator[NodeDevice | FailedCheck | UnknownPlacement]:
    """Yield the devices of all nodes by operator, and a failed check for each misplaced node."""
    if not isinstance(runtime, ReportsPlacement):
        yield UnknownPlacement(runtime.name)
        return
    for entry in bundle.manifest.entries:
        try:
            with failures_as_errors():
                nodes = runtime.placements(bundle, replace(options, entry=entry.name))
        except BundleError:  # there is no golden vector to run; damage was reported before
            nodes = None
        except RnnDeployError as error:
            yield FailedCheck(runtime.name, CHECK, entry.name, str(error))
            continue
        if nodes is None:
            yield UnknownPlacement(runtime.name)
            return
        requested = runtime.provider
        counts = Counter((n.op_type, n.provider) for n in nodes if not n.is_shape_arithmetic)
        for (op_type, provider), count in counts.items():
            yield NodeDevice(runtime.name, entry.name, op_type, count, provider, requested)
        for node in misplaced(nodes, requested):
            yield FailedCheck(runtime.name, CHECK, entry.name, f"{node}, not {requested}")
