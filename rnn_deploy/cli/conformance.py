"""`rnn-deploy conformance`: the whole suite on the runtimes of this machine."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote

import click

from rnn_deploy.cli.console import data, progress, say, table
from rnn_deploy.cli.options import grouped
from rnn_deploy.conformance import suite
from rnn_deploy.conformance.checking import FORMS, CaseOutcome
from rnn_deploy.errors import InputError, RuntimeUnavailableError, VerificationError
from rnn_deploy.optional import pip_line
from rnn_deploy.runtimes.base import Runtime, refuse_if_unavailable
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import RUNTIMES, runtime_named

Found = list[tuple[str, CaseOutcome]]


@dataclass(frozen=True)
class ConformanceRequest:
    """The parameters of `conformance`.

    count: the number of random models. saved: a folder that --save wrote.
    """

    runtime: tuple[str, ...]
    case: str
    form: tuple[str, ...]
    count: int | None
    seed: int
    save: Path | None
    saved: Path | None
    as_table: bool
    as_json: bool

    def __post_init__(self) -> None:
        chosen = self.saved or self.save or self.form or self.case != "*"
        if self.count is not None and chosen:
            raise InputError(
                "E-OPTION-CONFLICT",
                "--random makes models of its own; remove --case, --form, --save and --from",
            )
        if self.save is not None and (self.saved or self.runtime):
            raise InputError(
                "E-OPTION-CONFLICT", "--save only writes bundles; remove --from and --runtime"
            )


@click.command("conformance")
@click.option("--runtime", multiple=True, help="Use this runtime.  [default: all available]")
@click.option("--case", default="*", metavar="PATTERN", help="Only cases like 'masked-*'.")
@click.option("--form", multiple=True, type=click.Choice(FORMS), help="[default: every form]")
@click.option("--random", "count", type=click.IntRange(1), metavar="N", help="Try N random models.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first random model.")
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
@grouped(ConformanceRequest)
def command(request: ConformanceRequest) -> None:
    """Export about 200 models in every form and compare every runtime with Keras.

    Exit code 1 if anything is wrong that is not a known gap, or if a known gap works.
    """
    if request.as_table:
        from rnn_deploy.conformance.table import support_table

        data(support_table())
        return
    chosen = suite.SuiteSelection(request.case, request.form or FORMS)
    if request.save is not None:
        with progress() as step:
            written = suite.save(chosen, request.save, step)
        then = f"rnn-deploy conformance --from {quote(str(request.save))}"
        say(f"wrote {written} bundles to {request.save}; next: {then}")
        return
    with staying(_runtimes(request.runtime)) as runtimes, progress() as step:
        if request.count is not None:
            steps = suite.run_random(request.count, request.seed, runtimes, step)
        elif request.saved is not None:
            steps = suite.run_saved(request.saved, chosen, runtimes, step)
        else:
            steps = suite.run(chosen, runtimes, step)
        found = list(steps)
    if not found:
        raise VerificationError(
            "E-VERIFY-NO-CASE",
            f"no case matches '{request.case}'; use a pattern such as 'masked-*'",
        )
    _judge(found, request.as_json)


def _judge(found: Found, as_json: bool) -> None:
    """Show the outcomes; raise VerificationError if one is not as expected."""
    if as_json:
        data(json.dumps([{"of": of, **asdict(outcome)} for of, outcome in found], indent=1))
    else:
        _show(found)
    wrong = [outcome for _, outcome in found if not outcome.as_expected]
    if wrong:
        raise VerificationError(
            "E-VERIFY-FAILED", f"{len(wrong)} of {len(found)} outcomes are not as expected"
        )


def _runtimes(names: Sequence[str]) -> list[Runtime]:
    chosen = [runtime_named(name) for name in names] or [
        runtime for runtime in RUNTIMES.values() if runtime.why_unavailable() is None
    ]
    for runtime in chosen:
        refuse_if_unavailable(runtime)
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
    for description, outcome in found:
        theme = "composed at random" if description.startswith("{") else description
        counter = counts.setdefault((theme, outcome.runtime, outcome.form), Counter())
        counter[_kind(outcome)] += 1
    rows = [
        (theme, runtime, form, str(c["ok"]), str(c["gap"] or ""), str(c["wrong"] or ""))
        for (theme, runtime, form), c in counts.items()
    ]
    table("conformance", ("theme", "runtime", "form", ">ok", ">gaps", ">wrong"), rows)
    for description, outcome in found:
        if not outcome.as_expected:
            say(f"{outcome.case}, {outcome.form}, {outcome.runtime}: {outcome.summary}")
            if description.startswith("{"):
                say(f"  {description}")
    for reason in dict.fromkeys(o.gap for _, o in found if o.gap and o.fault):
        say(f"gap: {reason}")
    worst = max(outcome.worst for _, outcome in found)
    compared = sum(outcome.compared for _, outcome in found)
    data(f"{compared:,} tensors compared, largest error {worst:.1e}")
