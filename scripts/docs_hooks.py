"""Generate pages while MkDocs builds the site: the CLI reference and the tutorial as a notebook."""

import json
import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click

CLI_PLACE = "<!-- commands -->"
TUTORIAL, NOTEBOOK = "tutorial.md", "tutorial.ipynb"
FENCE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", re.DOTALL | re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference of all commands where the page asks for it."""
    return markdown.replace(CLI_PLACE, cli_reference()) if CLI_PLACE in markdown else markdown


def on_files(files: Any, config: Any) -> Any:
    """Add the tutorial as a notebook."""
    from mkdocs.structure.files import File

    text = Path(config.docs_dir, TUTORIAL).read_text(encoding="utf-8")
    files.append(File.generated(config, NOTEBOOK, content=json.dumps(notebook(text), indent=1)))
    return files


def cli_reference() -> str:
    """Return Markdown that lists each command with what `--help` says."""
    from rnn_deploy.cli import group

    context = click.Context(group, info_name="rnn-deploy", **group.context_settings)
    return "\n\n".join(
        section for name in group.list_commands(context) for section in _command(context, name)
    )


def _command(parent: click.Context, name: str) -> Iterator[str]:
    command = parent.command.get_command(parent, name)  # type: ignore[attr-defined]
    context = click.Context(
        command, info_name=name, parent=parent, help_option_names=parent.help_option_names
    )
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    yield f"## {name}"
    yield f"```text\n{usage}\n```"
    yield cleandoc(command.help or "")
    records = [p.get_help_record(context) for p in command.get_params(context)]
    rows = [
        f"| <code>{_plain(option)}</code> | {_plain(text)} |"
        for option, text in filter(None, records)
        if text  # an argument has none; the usage names it
    ]
    yield "\n".join(("| option | meaning |", "|---|---|", *rows))


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, also in a cell of a table."""
    return re.sub(r"[&<>|*_`\[\]]", lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def notebook(markdown: str) -> dict[str, Any]:
    """Return the page as a notebook (nbformat 4): each Python block is a cell, text between too."""
    cells, end = [], 0
    for block in FENCE.finditer(markdown):
        cells.append(_cell_of("markdown", markdown[end : block.start()]))
        cells.append(_cell_of("code", block[1]))
        end = block.end()
    cells.append(_cell_of("markdown", markdown[end:]))
    return {
        "cells": [c | {"id": f"cell-{i}"} for i, c in enumerate(cells) if "".join(c["source"])],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell_of(kind: str, text: str) -> dict[str, Any]:
    more = {"execution_count": None, "outputs": []} if kind == "code" else {}
    lines = text.strip().splitlines(keepends=True)
    return {"cell_type": kind, "metadata": {}, "source": lines, **more}
