"""Show the plan of a bundle, and report that it was made for another machine."""

from rnn_deploy.bundle.plan import PlanRule, TunedPlan
from rnn_deploy.cli.console import say, table
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.runtimes.tuned import misfits

COLUMNS = (
    *("entry point", ">batch x time", "runtime", "artifact", "settings", ">median us"),
    ">times as fast",
)


def show_plan(root: str, plan: TunedPlan) -> None:
    """Show the rules of a plan and what differs from the machine it was made on."""
    rows = []
    for rule in plan.rules:
        settings = [f"{rule.threads} thread"] if rule.threads else []
        settings += [f"{key} {value}" for key, value in rule.session]
        rows.append((
            rule.entry, _shape(rule), rule.runtime, rule.artifact, ", ".join(settings),
            f"{rule.median_us:,.1f}", f"{rule.gain:.2f}",
        ))  # fmt: skip
    table(f"{root}: plan made on {plan.machine}, {plan.cores} cores", COLUMNS, rows)
    report_misfits(root, plan)


def _shape(rule: PlanRule) -> str:
    return f"{rule.batch}x{rule.time}{' only' if rule.only_time else ''}"


def missing_runtimes(plan: TunedPlan) -> dict[str, str]:
    """Return the runtimes of a plan that cannot be used here, and why."""
    found = {}
    for name in dict.fromkeys(rule.runtime for rule in plan.rules):
        runtime = RUNTIMES.get(name)
        why = "unknown to this version" if runtime is None else runtime.why_unavailable()
        if why is not None:
            found[name] = why
    return found


def report_misfits(root: str, plan: TunedPlan | None) -> None:
    """Note in one line for each reason that a plan does not fit this machine."""
    if plan is None:
        return
    gone = missing_runtimes(plan)
    for name, why in gone.items():
        count = sum(rule.runtime == name for rule in plan.rules)
        say(
            f"note: the plan of {root} runs {count} of {len(plan.rules)} shapes on {name}, which"
            f" cannot be used here ({why}); other runtimes run them"
        )
    found = [] if gone else misfits(plan, RUNTIMES)
    if found:
        why = "; ".join(found)
        say(f"note: the plan of {root} may no longer be the fastest ({why}); tune again")
