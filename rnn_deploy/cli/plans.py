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


def report_misfits(root: str, plan: TunedPlan | None) -> None:
    """Note that a plan was made on another machine, so that its speed may not be the best here."""
    found = misfits(plan, RUNTIMES) if plan is not None else []
    if found:
        why = "; ".join(found)
        say(f"note: the plan of {root} may no longer be the fastest ({why}); tune again")
