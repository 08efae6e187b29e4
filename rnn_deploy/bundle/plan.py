"""A plan: which artifact, on which runtime and how, is fastest at which shape on one machine.

Made by `rnn-deploy tune`, followed by the runtime `tuned`. It is about speed alone: whatever it
says, the answers are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log


@dataclass(frozen=True)
class PlanRule:
    """What was fastest for an entry point at batch x time.

    artifact: its path. threads, session: how the runtime is told to load it. median_us: of one
    call; gain: how many times as fast as the bundle was before, on the runtime it would have taken.
    only_time: the artifact takes `time` steps and no other number.
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
    """Rules, and where they were measured: the processor, its cores, the runtimes' versions."""

    machine: str
    cores: int
    versions: Mapping[str, str]
    rules: tuple[PlanRule, ...]

    def rules_of(self, entry: str) -> tuple[PlanRule, ...]:
        """Return the rules of an entry point."""
        return tuple(rule for rule in self.rules if rule.entry == entry)

    def misfits(self, machine: str, cores: int, versions: Mapping[str, str | None]) -> list[str]:
        """What is not as it was where the plan was made."""
        found = [] if machine == self.machine else [f"made on {self.machine}, this is {machine}"]
        if cores != self.cores:
            found.append(f"made with {self.cores} cores, here are {cores}")
        for name, version in self.versions.items():
            if versions.get(name) != version:
                here = versions.get(name) or "none"
                found.append(f"made with {name} {version}, here is {here}")
        return found


def nearest(rules: tuple[PlanRule, ...], batch: int, time: int) -> PlanRule:
    """The rule whose batch and time are nearest, as ratios; the first of those that are equal.

    Beside each rule of one time alone there is another, which takes any.
    """
    fitting = [rule for rule in rules if not rule.only_time or rule.time == time]
    return min(fitting, key=lambda r: abs(log(batch / r.batch)) + abs(log(time / r.time)))
