"""A plan: which artifact, on which runtime and how, is fastest at which shape on one machine.

`rnn-deploy tune` makes it, and the runtime `tuned` follows it. A plan affects only speed: with
every plan the results are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log


@dataclass(frozen=True)
class PlanRule:
    """The fastest choice for an entry point at batch x time.

    artifact: its path. threads, session: options with which the runtime loads it. median_us: of
    one call. gain: how many times as fast as before, on the runtime that was the default.
    only_time: the artifact takes exactly `time` steps.
    """

    entry: str
    batch: int
    time: int
    runtime: str
    artifact: str
    median_us: float
    gain: float
    threads: int | None = None
    session: tuple[tuple[str, str], ...] = ()
    only_time: bool = False


@dataclass(frozen=True)
class TunedPlan:
    """Rules, and where they were measured: the processor, its cores, the versions of runtimes."""

    machine: str
    cores: int
    versions: Mapping[str, str]
    rules: tuple[PlanRule, ...]

    def rules_of(self, entry: str) -> tuple[PlanRule, ...]:
        """Return the rules of an entry point."""
        return tuple(rule for rule in self.rules if rule.entry == entry)

    def misfits(self, machine: str, cores: int, versions: Mapping[str, str | None]) -> list[str]:
        """Return the differences between this machine and the one where the plan was made."""
        found = [] if machine == self.machine else [f"made on {self.machine}, this is {machine}"]
        if cores != self.cores:
            found.append(f"made with {self.cores} cores, here are {cores}")
        for name, version in self.versions.items():
            if versions.get(name) != version:
                here = versions.get(name) or "none"
                found.append(f"made with {name} {version}, here is {here}")
        return found


def nearest(rules: tuple[PlanRule, ...], batch: int, time: int) -> PlanRule:
    """Return the rule whose batch and time are nearest, as ratios; the first of equal ones.

    For each rule that takes one time only, the plan also has one that takes any.
    """
    fitting = [rule for rule in rules if not rule.only_time or rule.time == time]
    return min(fitting, key=lambda r: abs(log(batch / r.batch)) + abs(log(time / r.time)))
