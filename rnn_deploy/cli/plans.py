"""What the commands say of a bundle's plan."""

from rnn_deploy.bundle.plan import PlanRule, TunedPlan
from rnn_deploy.cli.console import say, table
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.runtimes.tuned import misfits

COLUMNS = (
    *("entry point", ">batch x time", "runtime", "artifact", "settings", ">median us"),
    ">times as fast",
)


def show_plan(root: str, plan: TunedPlan) -> None:
    """The rules of a plan, and what no longer fits."""
    rows = []
    for rule in plan.rules:
        how = [f"{rule.threads} thread"] if rule.threads else []
        how += [f"{key} {value}" for key, value in rule.session]
        rows.append((
            rule.entry, _shape(rule), rule.runtime, rule.artifact, ", ".join(how),
            f"{rule.median_us:,.1f}", f"{rule.gain:.2f}",
        ))  # fmt: skip
    table(f"{root}: plan made on {plan.machine}, {plan.cores} cores", COLUMNS, rows)
    tell_misfits(root, plan)


def _shape(rule: PlanRule) -> str:
    alone = " alone" if rule.only_time else ""
    return f"{rule.batch}x{rule.time}{alone}"


def tell_misfits(root: str, plan: TunedPlan | None) -> None:
    """Say that a plan was made elsewhere: its answers hold, its speed may not."""
    found = misfits(plan, RUNTIMES) if plan is not None else []
    if found:
        why = "; ".join(found)
        say(f"note: the plan of {root} may no longer be the fastest ({why}); tune again")
