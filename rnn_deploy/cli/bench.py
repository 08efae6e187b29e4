"""`rnn-deploy bench`: latency of a bundle on the runtimes, side by side."""

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import click
import numpy as np

from rnn_deploy.bench import measure
from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.cli.console import data, progress, say, table
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named, runtimes_for
from rnn_deploy.spec import Array, EntryPoint

DEFAULT_SHAPES = ("1x1", "1x32", "32x32")


@click.command("bench")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runtime", multiple=True, help="A runtime; by default all that are here.")
@click.option(
    "--shape",
    multiple=True,
    metavar="BATCHxTIME",
    default=DEFAULT_SHAPES,
    show_default=True,
    help="A shape to measure; may be given again.",
)
@click.option("--seconds", default=0.5, show_default=True, help="For each runtime and shape.")
@click.option("--threads", type=int, help="Threads within an operator.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    bundle: Path, runtime: tuple[str, ...], shape: tuple[str, ...], seconds: float,
    threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure the latency of BUNDLE: median and 95th percentile, after a warm-up.

    The runtimes take turns within one run, so that their ratios mean something on a busy machine.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(f"--seconds {seconds}: expected a number of seconds, for instance 0.5")
    shapes = [(text, *_parsed(text)) for text in shape]
    opened = open_bundle(bundle)
    entry = opened.manifest.entry("sequence")
    chosen, skipped = (
        ([runtime_named(name) for name in runtime], []) if runtime else runtimes_for(opened)
    )
    options = RunOptions(threads=threads)
    runners = {r.name: r.load(opened, options) for r in chosen}
    facts: list[dict[str, object]] = []
    with progress() as step:
        for text, batch, time in shapes:
            step(f"measuring {text}")
            feeds = _feeds(entry, batch, time)
            timings = measure(
                {name: partial(runner.run, feeds) for name, runner in runners.items()},
                seconds=seconds,
            )
            facts += [
                {"shape": text, "runtime": name, **dataclasses.asdict(timing)}
                for name, timing in timings.items()
            ]
    _show(opened, facts, as_json)
    for left_out in skipped:
        say(f"not measured on {left_out.runtime}: {left_out.reason}")


def _show(bundle: Bundle, facts: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        data(json.dumps(facts, indent=1))
        return
    rows = [
        (str(f["shape"]), str(f["runtime"]), f"{f['median_us']:.1f}", f"{f['p95_us']:.1f}",
         f"{f['min_us']:.1f}", str(f["calls"]))
        for f in facts
    ]  # fmt: skip
    columns = (
        "batch x time",
        "runtime",
        ">median us",
        ">95th percentile us",
        ">least us",
        ">calls",
    )
    table(f"{bundle.root}: latency of one call", columns, rows)


def _parsed(text: str) -> tuple[int, int]:
    batch, _, time = text.partition("x")
    if not (text.isascii() and batch.isdigit() and time.isdigit() and int(batch) and int(time)):
        raise InputError(f"--shape {text}: expected BATCHxTIME, for instance 32x100")
    return int(batch), int(time)


def _feeds(entry: EntryPoint, batch: int, time: int) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    times = set(entry.time_symbols)
    feeds = {}
    for tensor in entry.inputs:
        shape = [
            dim if isinstance(dim, int) else time if dim in times else batch for dim in tensor.shape
        ]
        high = tensor.below or 2
        whole = np.dtype(tensor.dtype).kind != "f"
        value = rng.integers(0, high, shape) if whole else rng.standard_normal(shape)
        feeds[tensor.name] = value.astype(tensor.dtype)
    return feeds
