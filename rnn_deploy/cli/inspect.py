"""`rnn-deploy inspect`: show the contents of a bundle, or what an export of a model would write."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import click

from rnn_deploy.bundle import LoweringChoice, open_bundle
from rnn_deploy.bundle.manifest import Manifest, json_from_manifest
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.cli.console import data, progress, say, table
from rnn_deploy.cli.export import detail_lines, file_lines, quantisation_lines
from rnn_deploy.cli.options import grouped, opening_options
from rnn_deploy.cli.plans import show_plan
from rnn_deploy.cli.runtime_table import show_runtimes
from rnn_deploy.errors import InputError
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.spec import EntryPoint
from rnn_deploy.spec.opening import Opening


@click.command("inspect")
@click.argument("place", metavar="BUNDLE|MODEL", type=click.Path(path_type=Path))
@click.option(
    "--test", is_flag=True, help="Run the bundle's golden vectors on every available runtime."
)
@opening_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@grouped(Opening)
def command(opening: Opening, place: Path, test: bool, as_json: bool) -> None:
    """Show entry points, states, layers and lowerings, with reasons.

    Give a bundle to see its contents, or a model to see what export would write. The exit code is
    4, with every reason, if a model cannot be exported.
    """
    if (place / MANIFEST).is_file() or not place.exists():
        bundle = open_bundle(place)
        if as_json:
            _refuse_test(test, "--json, which prints the manifest")
            data(json_from_manifest(bundle.manifest).rstrip())
        else:
            _show_manifest(place, bundle.manifest)
            show_runtimes(bundle, test=test)
        return
    _refuse_test(test, "a model: export it first")
    facts = _facts_of_model(place, opening)
    if as_json:
        data(json.dumps(facts["json"], indent=1))
    else:
        data(f"{place}: {facts['json']['kind']}, written by {facts['json']['written_by']}")
        _show_entries(str(place), facts["entries"])
        _show_choices(facts["choices"])
        for note in facts["notes"]:
            say(f"note: {note}")


def _refuse_test(test: bool, what: str) -> None:
    if test:
        raise InputError(
            "E-OPTION-CONFLICT", f"--test runs the files of a bundle; it does not apply to {what}"
        )


def _show_manifest(place: Path, manifest: Manifest) -> None:
    source = manifest.source
    data(f"{place}: made from {source.name} ({source.kind}), weights {source.digest[:12]}")
    _show_entries(str(place), manifest.entries)
    _show_choices([
        (artifact.format, artifact.entry, choice)
        for artifact in manifest.artifacts
        for choice in artifact.choices
    ])  # fmt: skip
    quantised = (*quantisation_lines(manifest.quantisation), *file_lines(manifest))
    for line in (*quantised, *detail_lines(manifest.artifacts)):
        data(line.removeprefix("  "))
    rows = [(r.path, f"{r.size:,}", r.sha256[:12]) for r in manifest.files if "/" not in r.path]
    below = [r for r in manifest.files if "/" in r.path]
    for folder in dict.fromkeys(str(PurePosixPath(r.path).parents[-2]) for r in below):
        sizes = [r.size for r in below if r.path.startswith(f"{folder}/")]
        rows.append((f"{folder}/", f"{sum(sizes):,}", f"{len(sizes)} files"))
    table("files", ("file", ">bytes", "SHA-256"), rows)
    for entry in manifest.entries:
        if entry.states:
            ok = "can run in chunks" if entry.chunked.ok else "cannot run in chunks"
            say(f"{entry.name}: {ok} ({entry.chunked.reason})")
        if entry.why_one_batch is not None:
            say(f"{entry.name}: cannot run in batches ({entry.why_one_batch})")
    if manifest.plan is not None:
        show_plan(str(place), manifest.plan)
    for note in manifest.notes:
        say(f"note: {note}")


def _show_entries(title: str, entries: Sequence[EntryPoint]) -> None:
    rows = []
    for entry in entries:
        rows += [(entry.name, "input", str(tensor)) for tensor in entry.inputs]
        rows += [(entry.name, "output", str(tensor)) for tensor in entry.outputs]
        for state in entry.states:
            what = f"{state.tensor}, leaves as {state.next_name}"
            rows.append((entry.name, f"state {state.role}", what))
    table(title, ("entry point", "is", "tensor"), rows)


def _show_choices(choices: Sequence[tuple[str, str, LoweringChoice]]) -> None:
    rows = [
        (form, entry, c.layer, c.cell, str(c.units), c.lowering, c.reason)
        for form, entry, c in choices
    ]
    if rows:
        columns = ("format", "entry point", "layer", "cell", ">units", "lowering", "why")
        table("recurrent layers", columns, rows)


def _facts_of_model(place: Path, opening: Opening) -> dict[str, Any]:
    with progress() as step:
        step("starting TensorFlow")
        from rnn_deploy.exporting.plan import plan_of
        from rnn_deploy.exporting.saved_model import SavedModelReference, entry_of, notes_on
        from rnn_deploy.keras.opening import OpenedSavedModel, open_model
        from rnn_deploy.keras.preprocessing import without_preprocessing

        step("reading the layers")
        opened, _ = without_preprocessing(open_model(place, **vars(opening)))
        if isinstance(opened, OpenedSavedModel):
            entries = [entry_of(opened, SavedModelReference(opened), None)]
            return _facts(opened, entries, [], notes_on(opened))
        options = ExportOptions()
        plan = plan_of(opened.model, options)
        choices = [
            (format.name, entry, choice)
            for format in options.formats
            for entry, choice in format.load_writer().choices(plan, options)
        ]
        notes = (*opened.notes, *plan.notes)
        return _facts(opened, [t.entry for t in plan.traced], choices, notes)


def _facts(
    opened: Any,
    entries: Sequence[EntryPoint],
    choices: Sequence[tuple[str, str, LoweringChoice]],
    notes: Sequence[str],
) -> dict[str, Any]:
    from dataclasses import asdict

    facts = {
        "kind": opened.source.kind,
        "written_by": opened.written_by,
        "entries": [asdict(entry) for entry in entries],
        "layers": [{"format": f, "entry": e, **asdict(c)} for f, e, c in choices],
        "notes": list(notes),
    }
    return {"json": facts, "entries": entries, "choices": choices, "notes": notes}
