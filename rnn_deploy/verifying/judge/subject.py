"""The runners that a check uses, and the results that it yields."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import STREAM, Array
from rnn_deploy.verifying.checked_runner import FilesRun

Runners = Mapping[str, Runner]


@dataclass(frozen=True)
class CheckSubject:
    """A runtime under test: its runners by entry point.

    stream_only: a runner that also runs single steps by the stream's model file; None if single
    steps have no file of their own. partner: the runners of the runtime `partner_name`, which
    continues in the check hand-over. bounds: the largest error of each state after each step, for
    `running-bound`. files_run: the model files that the runners ran.
    """

    runners: Runners
    stream_only: Runner | None = None
    partner: Runners = field(default_factory=dict)
    partner_name: str = ""
    bounds: Mapping[str, Array] = field(default_factory=dict)
    files_run: FilesRun = field(default_factory=FilesRun)

    def takes(self, case: GoldenCase, entry: str) -> bool:
        """Return whether the case can be fed to the entry point `entry` of this runtime."""
        return entry in case.entries and entry in self.runners

    @property
    def stream(self) -> Runner | None:
        """Return the runner of the stream, if chunks compute the same as the whole sequence."""
        runner = self.runners.get(STREAM)
        return runner if runner is not None and runner.entry.chunked.ok else None


@dataclass(frozen=True)
class CheckResult:
    """The outputs and states of one run, by name.

    expected: the values they must have; None for the case's truth. detail: how the case was run,
    if a check runs it more than once. bounds: the largest error of each element, in place of the
    tensor's budget. rounding: the error of each tensor that rounding causes in this run; it may be
    larger than TensorFlow's own in the golden vectors. group: right results of one group become one
    comparison, the one nearest to its budget.
    """

    values: Mapping[str, Array]
    expected: Mapping[str, Array] | None = None
    detail: str = ""
    bounds: Mapping[str, Array] = field(default_factory=dict)
    rounding: Mapping[str, float] = field(default_factory=dict)
    group: str = ""
