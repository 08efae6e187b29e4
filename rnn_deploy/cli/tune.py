"""`rnn-deploy tune`: measure what is fastest where, and write a bundle that does it."""

import dataclasses
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.store import refuse_folder
from rnn_deploy.cli.console import data, progress, say
from rnn_deploy.cli.plans import show_plan
from rnn_deploy.errors import InputError

if TYPE_CHECKING:
    from rnn_deploy.perf.tuning.tune import TuningResult


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
    help="A shape to tune for; may be given again.  [default: 1x10, 1x100, 32x100, stream=1x1]",
)
@click.option("--seconds", default=0.5, show_default=True, help="For each contender and shape.")
@click.option("--trust-source", is_flag=True, help="Let the model's file run code of its own.")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan.")
def command(
    bundle: Path, model: Path, output: Path, shape: tuple[str, ...], seconds: float,
    trust_source: bool, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make of BUNDLE one that is fastest on this machine, for the shapes asked.

    Exports the model in every lowering, verifies each on every runtime that is here, measures them
    side by side, and keeps what wins with a plan in the manifest: which artifact, on which runtime,
    with which settings, by batch and time. The runtime `tuned` follows it, and is the default of a
    bundle that has one.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(f"--seconds {seconds}: expected a number of seconds, for instance 0.5")
    refuse_folder(output, force=force)
    opened = open_bundle(bundle)
    with progress() as step, tempfile.TemporaryDirectory() as folder:
        step("starting TensorFlow")
        from rnn_deploy.onnx.expected import expected_shapes
        from rnn_deploy.perf.peers.model import model_of
        from rnn_deploy.perf.tuning.tune import USUAL, tune
        from rnn_deploy.perf.tuning.write import write
        from rnn_deploy.spec.shapes import shapes_for

        asked = expected_shapes(shape, "--shape")
        there = [entry.name for entry in opened.manifest.entries]
        for name in asked:
            opened.manifest.entry(name)
        places = [
            (name, one)
            for name in (asked or there)
            for one in shapes_for(opened.manifest.entry(name), asked.get(name, ()), USUAL[name])
        ]
        read = model_of(opened, model, trust_source=trust_source)
        tuned = tune(opened, read, places, Path(folder), seconds=seconds, progress=step)
        step("writing the bundle")
        written = write(opened, tuned.variants, tuned.plan, output, force=force)
    if as_json:
        data(json.dumps(dataclasses.asdict(tuned.plan), indent=1))
    else:
        show_plan(str(written.root), tuned.plan)
    _say_left_out(tuned)
    say(f"wrote {written.root}; next: rnn-deploy verify {quote(str(written.root))}")


def _say_left_out(tuned: "TuningResult") -> None:
    for left in tuned.left_out:
        say(f"not tried: {left.name}: {left.reason}")
    failed: Sequence[str] = [
        f"no figures of {r.contender} at {r.shape}: {r.failure}"
        for results in tuned.results.values()
        for r in results
        if r.failure is not None
    ]
    for line in failed:
        say(line)
