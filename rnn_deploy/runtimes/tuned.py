"""`tuned`: follow a bundle's plan, so that each call runs in the fastest way for its shape.

feeds --batch and time--> the nearest rule --> its runner, loaded at the first use
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.plan import PlanRule, TunedPlan, nearest
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.runtimes.base import (
    BindableRunner,
    BoundRunner,
    ReportsFiles,
    Runner,
    RunOptions,
    Runtime,
    Shapes,
)
from rnn_deploy.runtimes.feeds import closed
from rnn_deploy.runtimes.machine import cores, processor
from rnn_deploy.spec import Array, EntryPoint

TUNED = "tuned"


class TunedRunner:
    """An entry point; each call runs by the nearest of several rules."""

    def __init__(
        self, entry: EntryPoint, rules: tuple[PlanRule, ...], load: Callable[[PlanRule], Runner]
    ) -> None:
        self.entry = entry
        self._rules, self._load = rules, load
        self._runners: dict[PlanRule, Runner] = {}
        self._by_shape: dict[tuple[int, ...], Runner] = {}
        self._timed = entry.timed
        self._at((1, 1))  # load one file now, so that a file that does not load is an error

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        timed = feeds.get(self._timed)
        shape = timed.shape[:2] if isinstance(timed, np.ndarray) else ()
        return self._at(shape).run(feeds)

    def bound(self, shapes: Shapes) -> BoundRunner | None:
        """Bind the rule's runner to memory of its own; None if it cannot be bound."""
        runner = self._at(shapes[self._timed][:2])
        return runner.bound(shapes) if isinstance(runner, BindableRunner) else None

    def close(self) -> None:
        """Release every runner."""
        self._load = closed
        for runner in list(self._runners.values()):  # a copy: another thread may add one
            runner.close()
        self._runners.clear()
        self._by_shape.clear()

    def _at(self, shape: tuple[int, ...]) -> Runner:
        found = self._by_shape.get(shape)
        if found is None:
            rule = _rule_for(self._rules, shape)
            like = replace(rule, batch=1, time=1, median_us=0.0, gain=1.0)
            found = self._runners.get(like)
            if found is None:
                found = self._runners[like] = self._load(rule)
            self._by_shape[shape] = found
        return found


@dataclass(frozen=True)
class TunedRuntime:
    """The runtimes of a bundle's plan, each for the shapes for which it is fastest."""

    runtimes: Mapping[str, Runtime]
    name: str = TUNED
    format: str = "plan"

    def version(self) -> str | None:
        """Return None: it has no version of its own."""
        return None

    def why_unavailable(self) -> str | None:
        """Return None: it is always available, even if a bundle has no plan."""
        return None

    def load(self, bundle: Bundle, options: RunOptions) -> Runner:
        """Return a runner that follows the rules of the plan whose runtimes are available.

        Raises InputError for a bundle without a plan, and for options that the plan sets itself.
        """
        plan = bundle.manifest.plan
        if plan is None:
            raise InputError(
                "E-BUNDLE-NO-PLAN", f"{bundle.root} has no plan; make one with rnn-deploy tune"
            )
        if options.provider or options.threads is not None or options.session:
            raise InputError(
                "E-OPTION-TUNED",
                "the plan sets threads and provider options itself; choose another --runtime to"
                " set them",
            )
        rules = self._rules(plan, options)
        if not rules:
            return self._without_rule(bundle).load(bundle, options)

        def load(rule: PlanRule) -> Runner:
            return self.runtimes[rule.runtime].load(bundle, _by_rule(rule, options))

        return TunedRunner(bundle.manifest.entry(options.entry), rules, load)

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """Return the file that runs a call with inputs of these shapes; empty if unknown."""
        rules = self._rules(bundle.manifest.plan, options) if bundle.manifest.plan else ()
        if rules:
            rule = _rule_for(rules, shapes[bundle.manifest.entry(options.entry).timed])
            runtime, options = self.runtimes[rule.runtime], _by_rule(rule, options)
        else:
            runtime = self._without_rule(bundle)
        if not isinstance(runtime, ReportsFiles):
            return ""
        return f"{runtime.file_of(bundle, options, shapes)} on {runtime.name}"

    def _rules(self, plan: TunedPlan, options: RunOptions) -> tuple[PlanRule, ...]:
        """Return the usable rules; none if each of them is for only one number of steps."""
        rules = tuple(rule for rule in plan.rules_of(options.entry) if self._has(rule))
        return () if all(rule.only_time for rule in rules) else rules

    def _has(self, rule: PlanRule) -> bool:
        runtime = self.runtimes.get(rule.runtime)
        return runtime is not None and runtime.why_unavailable() is None

    def _without_rule(self, bundle: Bundle) -> Runtime:
        """Return the runtime for an entry point without a usable rule."""
        formats = {artifact.format for artifact in bundle.manifest.artifacts}
        for runtime in self.runtimes.values():
            if runtime.format in formats and runtime.why_unavailable() is None:
                return runtime
        raise RuntimeUnavailableError(
            "E-RUNTIME-NONE", f"{bundle.root}: no runtime here can run it"
        )


def _rule_for(rules: tuple[PlanRule, ...], shape: tuple[int, ...]) -> PlanRule:
    """Return the nearest rule for this shape of the input that has the time axis."""
    # The runner refuses an input that is empty or lacks these axes.
    batch, time = (max(1, size) for size in (*shape, 1, 1)[:2])
    return nearest(rules, batch, time)


def _by_rule(rule: PlanRule, options: RunOptions) -> RunOptions:
    return replace(options, threads=rule.threads, artifact=rule.artifact, session=rule.session)


def misfits(plan: TunedPlan, runtimes: Mapping[str, Runtime]) -> list[str]:
    """Return the differences between this machine and the one where the plan was made."""
    versions = {name: runtimes[name].version() for name in plan.versions if name in runtimes}
    return plan.misfits(processor(), cores(), versions)
