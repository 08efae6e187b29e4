"""`rnn-deploy tune`: find the fastest file and runtime for each shape, and write a tuned bundle."""

import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.store import refuse_folder
from rnn_deploy.cli.console import data, progress, say
from rnn_deploy.cli.options import grouped, opening_options, seconds_option
from rnn_deploy.cli.plans import show_plan
from rnn_deploy.spec.opening import Opening

if TYPE_CHECKING:
    from rnn_deploy.perf.tuning.tune import TuningResult


@dataclass(frozen=True)
class TuneRequest:
    """The parameters of `tune`."""

    bundle: Path
    model: Path
    output: Path
    shape: tuple[str, ...]
    seconds: float
    force: bool
    as_json: bool

    def __post_init__(self) -> None:
        refuse_folder(self.output, force=self.force)


@click.command("tune")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--model", required=True, type=click.Path(path_type=Path),
    help="The .keras file the bundle was made from, for candidates in other lowerings.",
)  # fmt: skip
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The tuned bundle."
)
@click.option(
    "--shape",
    multiple=True,
    metavar="[ENTRY=]BATCHxTIME",
    help="Tune for this shape; may be repeated.  [default: 1x10, 1x100, 32x100, stream=1x1]",
)
@seconds_option
@opening_options
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@grouped(TuneRequest, Opening)
def command(request: TuneRequest, opening: Opening) -> None:
    """Write a copy of BUNDLE that is tuned for this machine.

    Exports the model in every lowering, verifies each on every available runtime, and measures them
    side by side. The new bundle has the fastest model files and a plan: which file runs on which
    runtime with which settings, by batch and time. The runtime `tuned` follows the plan; it is the
    default runtime of a bundle with a plan.
    """
    opened = open_bundle(request.bundle)
    with progress(lines=True) as step, tempfile.TemporaryDirectory() as folder:
        step("starting TensorFlow")
        from rnn_deploy.perf.peers.model import model_of
        from rnn_deploy.perf.tuning.tune import USUAL, tune
        from rnn_deploy.perf.tuning.write import write
        from rnn_deploy.spec.shapes import shapes_by_entry, shapes_for

        requested = shapes_by_entry(request.shape, tuple(USUAL))
        names = requested or [e.name for e in opened.manifest.entries if e.name in USUAL]
        entries = {name: opened.manifest.entry(name) for name in names}
        places = [
            (name, shape)
            for name, entry in entries.items()
            for shape in shapes_for(entry, requested.get(name, ()), USUAL[name])
        ]
        model = model_of(opened, request.model, opening)
        tuned = tune(opened, model, places, Path(folder), seconds=request.seconds, progress=step)
        step("writing the bundle")
        written = write(opened, tuned.variants, tuned.plan, request.output, force=request.force)
    if request.as_json:
        data(json.dumps(dataclasses.asdict(tuned.plan), indent=1))
    else:
        show_plan(str(written.root), tuned.plan)
    _report_left_out(tuned)
    say(f"wrote {written.root}; next: rnn-deploy verify {quote(str(written.root))}")


def _report_left_out(tuned: "TuningResult") -> None:
    for left in tuned.left_out:
        say(f"not tried: {left.name}: {left.reason}")
    for result in (result for results in tuned.results.values() for result in results):
        if result.failure is not None:
            say(f"not measured: {result.contender} at {result.shape}: {result.failure}")
