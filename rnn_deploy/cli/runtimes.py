"""`rnn-deploy runtimes`: the available runtimes, and why the others are unavailable."""

import json

import click

from rnn_deploy.cli.console import HERE, data, table
from rnn_deploy.runtimes.registry import RUNTIMES


@click.command("runtimes")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the runtimes with their versions, or the reason why they are unavailable."""
    facts = [
        {"runtime": name, "format": runtime.format, "version": runtime.version(),
         "unavailable": runtime.why_unavailable()}
        for name, runtime in RUNTIMES.items()
    ]  # fmt: skip
    if as_json:
        data(json.dumps(facts, indent=1))
        return
    rows = [
        (str(f["runtime"]), str(f["format"]), str(f["version"] or "-"),
         HERE if f["unavailable"] is None else str(f["unavailable"]))
        for f in facts
    ]  # fmt: skip
    table("runtimes", ("runtime", "format", "version", "status"), rows)
