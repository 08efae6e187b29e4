"""The documentation: its commands, its links, and what is generated for it.

`scripts/docs` builds the site; these tests need no package of the extra `docs`.
"""

import json
import re
import runpy
import shlex
from html import unescape
from pathlib import Path

import click
import pytest

from rnn_deploy.cli import group

ROOT = Path(__file__).parents[1]
HOOKS = runpy.run_path(str(ROOT / "scripts" / "docs_hooks.py"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
CONTEXT = click.Context(group, info_name="rnn-deploy", **group.context_settings)


def commands_in(markdown):
    """Every command line of ours: in blocks of code, and in running text if it has arguments."""
    markdown = markdown.replace("\\\n", " ")
    fenced = "\n".join(re.findall(r"^```(?:sh|console|text)?\n(.*?)^```", markdown, re.S | re.M))
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.S | re.M)
    indented = "\n".join(re.findall(r"^(?: {4}|\t)\s*(.*)", text, re.M))
    for line in (fenced + "\n" + indented).splitlines():
        found = re.match(r"\s*(?:\$ )?(?:\w+=\S+ )*(rnn-deploy .*)", line)
        if found:
            yield from (piece for piece in re.split(r" \| | && |; ", found[1]))
    yield from (" ".join(c.split()) for c in re.findall(r"`(rnn-deploy [^`]+)`", text))


def words_of(command):
    """The words after rnn-deploy, without redirections and comments."""
    words = shlex.split(command, comments=True)[1:]
    redirections = [place for place, word in enumerate(words) if word in ("<", ">")]
    return words[: redirections[0]] if redirections else words


def fault_of(words):
    """What is wrong with a command line, None if nothing is. Files need not exist."""
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("--help", "--version", "COMMAND", "VERB"):
        return None
    command = group.get_command(CONTEXT, words[0])
    if command is None:
        return f"there is no command {words[0]}"
    context = click.Context(command, info_name=words[0], parent=CONTEXT)
    try:
        given, rest, _ = command.make_parser(context).parse_args(words[1:])
        for option in command.get_params(context):
            value = given.get(option.name)
            if isinstance(option.type, click.Choice) and isinstance(value, str | list):
                for one in [value] if isinstance(value, str) else value:
                    option.type.convert(one, option, context)
    except click.UsageError as error:
        return error.format_message()
    return f"unexpected arguments {rest}" if rest else None


@pytest.mark.parametrize("page", NAMES)
def test_every_command_exists_with_its_options(page):
    commands = commands_in((ROOT / page).read_text(encoding="utf-8"))
    faults = {command: fault_of(words_of(command)) for command in commands}
    assert {c: f for c, f in faults.items() if f is not None} == {}


@pytest.mark.parametrize(
    "command",
    [
        "rnn-deploy verfy build/hello",
        "rnn-deploy verify build/hello --quik",
        "rnn-deploy export m.keras -o b --to onyx",
        "rnn-deploy verify a b",
        "rnn-deploy run build/hello --inputs",
    ],
)
def test_a_wrong_command_is_seen(command):
    page = f"```sh\n{command}\n```\n"
    (found,) = commands_in(page)
    assert fault_of(words_of(found)) is not None


def test_the_commands_are_found():
    page = "```sh\nA=1 rnn-deploy run B\n```\nUse `rnn-deploy inspect B`.\n\n    rnn-deploy build f"
    assert [command.split()[1] for command in commands_in(page)] == ["run", "build", "inspect"]
    assert sum(1 for page in PAGES for _ in commands_in(page.read_text("utf-8"))) > 60


@pytest.mark.parametrize("page", NAMES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)):
        place, _, heading = link.partition("#")
        if "://" in link or place == "tutorial.ipynb":  # generated
            continue
        target = (ROOT / page).parent / place if place else ROOT / page
        assert target.is_file(), link
        if heading:
            assert heading in _headings(target.read_text(encoding="utf-8")), link


def _headings(markdown):
    titles = re.findall(r"^#+ (.*)", markdown, re.M)
    return {re.sub(r"[^\w\s-]", "", t).strip().lower().replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", NAMES)
def test_every_error_code_is_in_the_table(page):
    table = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| (E-\S+) \|", table, re.M))
    named = re.findall(r"\bE-[A-Z0-9]+(?:-[A-Z0-9]+)+", (ROOT / page).read_text(encoding="utf-8"))
    assert {code for code in named if not code.startswith("E-AREA")} <= known


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    assert sorted(listed) == sorted(pages)


def test_the_cli_reference_is_what_help_says():
    page = unescape(HOOKS["cli_reference"]())
    for name in group.list_commands(CONTEXT):
        command = group.get_command(CONTEXT, name)
        context = click.Context(command, info_name=name, parent=CONTEXT)
        words = " ".join(command.get_help(context).split())
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        shown = " ".join(re.sub(r"</?code>|\| |```(?:text)?", " ", section).split())
        # Help wraps its lines, also within a word with a hyphen.
        for option, text in filter(None, (p.get_help_record(context) for p in command.params)):
            assert " ".join(text.split()) in shown
            assert " ".join(option.split()) in " ".join(section.split())
            assert option.split()[0].rstrip(",") in words


def test_the_tutorial_as_a_notebook_has_every_block():
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    cells = json.loads(json.dumps(HOOKS["notebook"](text)))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code == [b.strip() for b in re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)]
    assert not any("```" in "".join(c["source"]) for c in cells if c["cell_type"] == "code")
    assert len({cell["id"] for cell in cells}) == len(cells)
