"""`rnn-deploy conformance`: the whole suite on the runtimes of this machine."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote

import click

from rnn_deploy.cli.console import data, progress, say, table
from rnn_deploy.conformance import suite
from rnn_deploy.conformance.checking import FORMS, CaseOutcome
from rnn_deploy.errors import InputError, RuntimeUnavailableError, VerificationError
from rnn_deploy.optional import pip_line
from rnn_deploy.runtimes.base import Runtime
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import RUNTIMES, runtime_named

Found = list[tuple[str, CaseOutcome]]


@click.command("conformance")
@click.option("--runtime", multiple=True, help="A runtime to try; by default all that are here.")
@click.option("--case", default="*", metavar="PATTERN", help="Only cases like this: 'masked-*'.")
@click.option("--form", multiple=True, type=click.Choice(FORMS), help="By default every form.")
@click.option("--random", "count", type=click.IntRange(1), metavar="N", help="N random models.")
@click.option("--seed", default=0, show_default=True, help="Of the first random model.")
@click.option("--save", type=click.Path(path_type=Path), metavar="DIR", help="Only write bundles.")
@click.option(
    "--from",
    "saved",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run the bundles that --save wrote; needs no TensorFlow.",
)
@click.option("--table", "as_table", is_flag=True, help="Print the support table (Markdown).")
@click.option("--json", "as_json", is_flag=True, help="Print every outcome as JSON.")
def command(
    runtime: tuple[str, ...], case: str, form: tuple[str, ...], count: int | None, seed: int,
    save: Path | None, saved: Path | None, as_table: bool, as_json: bool,
) -> None:  # fmt: skip
    """Export some 200 models in every form and compare every runtime with Keras.

    Exit code 1 when anything is wrong that is not written down as a gap, or a gap works.
    """
    if as_table:
        from rnn_deploy.conformance.table import support_table

        data(support_table())
        return
    chosen = suite.SuiteSelection(case, form or FORMS)
    if count is not None:
        if saved is not None or save is not None or form or case != "*":
            raise InputError("--random makes models of its own; give --runtime and --seed alone")
        with staying(_runtimes(runtime)) as runtimes, progress() as step:
            found = list(suite.run_random(count, seed, runtimes, step))
        _judge(found, as_json)
        return
    if save is not None:
        if saved is not None or runtime:
            raise InputError("--save only writes bundles; leave --from and --runtime out")
        with progress() as step:
            count = suite.save(chosen, save, step)
        then = f"rnn-deploy conformance --from {quote(str(save))}"
        say(f"wrote {count} bundles to {save}; next: {then}")
        return
    with staying(_runtimes(runtime)) as runtimes, progress() as step:
        steps = (
            suite.run(chosen, runtimes, step)
            if saved is None
            else suite.run_saved(saved, chosen, runtimes, step)
        )
        found = list(steps)
    if not found:
        raise VerificationError(f"nothing was tried: no case is like '{case}'")
    _judge(found, as_json)


def _judge(found: Found, as_json: bool) -> None:
    """Show what was found; VerificationError when it is not as it should be."""
    if as_json:
        data(json.dumps([{"of": of, **asdict(outcome)} for of, outcome in found], indent=1))
    else:
        _show(found)
    wrong = [outcome for _, outcome in found if not outcome.as_expected]
    if wrong:
        raise VerificationError(f"{len(wrong)} of {len(found)} outcomes are not as they should be")


def _runtimes(names: Sequence[str]) -> list[Runtime]:
    chosen = [runtime_named(name) for name in names] or [
        runtime for runtime in RUNTIMES.values() if runtime.why_unavailable() is None
    ]
    for runtime in chosen:
        why = runtime.why_unavailable()
        if why is not None:
            raise RuntimeUnavailableError(f"runtime '{runtime.name}': {why}")
    if not chosen:
        raise RuntimeUnavailableError(
            "E-RUNTIME-NONE", f"no runtime is installed here; {pip_line('onnxruntime')}"
        )
    return chosen


def _kind(outcome: CaseOutcome) -> str:
    if not outcome.as_expected:
        return "wrong"
    return "gap" if outcome.gap else "ok"


def _show(found: Found) -> None:
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for of, outcome in found:
        theme = "composed at random" if of.startswith("{") else of
        counter = counts.setdefault((theme, outcome.runtime, outcome.form), Counter())
        counter[_kind(outcome)] += 1
    rows = [
        (theme, runtime, form, str(c["ok"]), str(c["gap"] or ""), str(c["wrong"] or ""))
        for (theme, runtime, form), c in counts.items()
    ]
    table("conformance", ("theme", "runtime", "form", ">ok", ">gaps", ">wrong"), rows)
    for of, outcome in found:
        if not outcome.as_expected:
            say(f"{outcome.case}, {outcome.form}, {outcome.runtime}: {outcome.said}")
            if of.startswith("{"):
                say(f"  {of}")
    for reason in dict.fromkeys(o.gap for _, o in found if o.gap and o.fault):
        say(f"gap: {reason}")
    worst = max(outcome.worst for _, outcome in found)
    compared = sum(outcome.compared for _, outcome in found)
    data(f"{compared:,} tensors compared, largest error {worst:.1e}")
