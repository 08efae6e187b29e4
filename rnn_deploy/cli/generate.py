"""`rnn-deploy generate`: generate sequences of tokens from sources or prompts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.arrays import read_inputs
from rnn_deploy.cli.console import data, say
from rnn_deploy.cli.options import grouped
from rnn_deploy.errors import InputError
from rnn_deploy.inference.generated_page import ShownSequence, html_from_generated
from rnn_deploy.inference.generation import BEAMS, MAX_STEPS, STRATEGIES
from rnn_deploy.inference.model import Model, load
from rnn_deploy.inference.strategies import Generated
from rnn_deploy.inference.tables import TableRules
from rnn_deploy.inference.vocabulary import (
    SPLITS,
    Vocabulary,
    read_vocabulary,
    source_values,
    token_id,
)
from rnn_deploy.optional import require
from rnn_deploy.spec import ENCODE, STREAM, EntryPoint


@dataclass(frozen=True)
class GenerateRequest:
    """The parameters of `generate`."""

    bundle: Path
    sources: tuple[str, ...]
    inputs: Path | None
    vocabulary: Path | None
    source_vocabulary: Path | None
    split: str
    start: str | None
    end: str | None
    max_steps: int
    strategy: str
    beams: int | None
    temperature: float | None
    top_k: int | None
    seed: int | None
    runtime: str | None
    html: Path | None
    force: bool
    as_json: bool

    def __post_init__(self) -> None:
        if bool(self.sources) == (self.inputs is not None):
            raise InputError(
                "E-OPTION-NEEDS", "expected either SOURCE arguments or --inputs FILE; give one"
            )
        if self.source_vocabulary is not None and self.vocabulary is None:
            raise InputError(
                "E-OPTION-NEEDS", "--source-vocabulary needs --vocabulary, for the output; add it"
            )


@click.command("generate")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    help="File with the sources: .txt with one on each line, or .npz, .npy or .jsonl.",
)
@click.option(
    "--vocabulary",
    type=click.Path(path_type=Path),
    help="File with a token on each line, the one with id 0 first. Without it, sources and"
    " output are ids.",
)
@click.option(
    "--source-vocabulary",
    type=click.Path(path_type=Path),
    help="The same for the source.  [default: --vocabulary]",
)
@click.option(
    "--split", type=click.Choice(SPLITS), default=SPLITS[0], show_default=True,
    help="How text is split in tokens.",
)  # fmt: skip
@click.option("--start", metavar="TOKEN", help="The token that the decoder begins with, or id=N.")
@click.option("--end", metavar="TOKEN", help="The token that ends a sequence, or id=N.")
@click.option(
    "--max-steps", type=int, default=MAX_STEPS, show_default=True, metavar="N",
    help="Generate at most N tokens.",
)  # fmt: skip
@click.option(
    "--strategy", type=click.Choice(STRATEGIES), default=STRATEGIES[0], show_default=True,
    help="greedy: take the likeliest token. sample: draw one. beam: search with several sequences.",
)  # fmt: skip
@click.option(
    "--beams", type=int, metavar="N", help=f"`beam`: keep N sequences.  [default: {BEAMS}]"
)
@click.option(
    "--temperature",
    type=float,
    metavar="T",
    help="`sample`: below 1, likely tokens become likelier.  [default: 1]",
)
@click.option("--top-k", type=int, metavar="K", help="`sample`: draw from the K likeliest tokens.")
@click.option("--seed", type=int, metavar="N", help="`sample`: the random seed.  [default: 0]")
@click.option("--runtime", metavar="NAME", help="Runtime, see `rnn-deploy runtimes`.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help="Write a page with the sequences and their attention.",
)
@click.option("--force", is_flag=True, help="Replace an existing page.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for each source.")
@grouped(GenerateRequest)
def command(request: GenerateRequest) -> None:
    """Generate a sequence for each SOURCE, or continue it as a prompt.

    A model with an encoder reads the source, and its decoder generates from --start to --end. A
    language model continues the source. A sequence without the end token after --max-steps is
    printed as it is, with a note.
    """
    if request.html is not None:
        require("jinja2")
        refuse_existing(request.html, force=request.force)
    output = None
    if request.vocabulary is not None:
        output = read_vocabulary(request.vocabulary, request.split)
    source = output
    if request.source_vocabulary is not None:
        source = read_vocabulary(request.source_vocabulary, request.split)
    with load(request.bundle, request.runtime) as model:
        sources = _sources(request, model, source)
        found = model.generate(
            sources,
            start=_token(request.start, output, "--start"),
            end=_token(request.end, output, "--end"),
            max_steps=request.max_steps,
            strategy=request.strategy,
            beams=request.beams,
            temperature=request.temperature,
            top_k=request.top_k,
            seed=request.seed,
        )
        name = model.bundle.manifest.source.name
    if request.html is not None:
        shown = _shown(_texts(request), source, output, found)
        with writing_file(request.html, force=request.force) as draft:
            draft.write_text(html_from_generated(f"Generated by {name}", shown), encoding="utf-8")
        say(f"wrote {request.html}")
    for each in found:
        data(json.dumps(_facts(each, output)) if request.as_json else _text(each.ids, output))
    long = sum(not each.ended for each in found)
    if long and request.end is not None:
        say(
            f"note: {long} of {len(found)} sequences have {request.max_steps} tokens (--max-steps)"
            " and no end token"
        )


def _sources(request: GenerateRequest, model: Model, vocabulary: Vocabulary | None) -> Any:
    """Return the sources as the model takes them."""
    entry = _source_entry(model)
    texts = _texts(request)
    if texts is None:
        assert request.inputs is not None
        return read_inputs(request.inputs, entry, TableRules()).feeds
    tensor = entry.inputs[0]
    if len(entry.inputs) > 1:
        names = ", ".join(each.name for each in entry.inputs)
        raise InputError(
            "E-INPUT-SEVERAL",
            f"the model has several source inputs ({names}); give --inputs FILE.npz",
        )
    if model.takes_text(tensor.name):
        return {tensor.name: list(texts)}
    if vocabulary is not None:
        ids = [vocabulary.ids_of(text) for text in texts]
    else:
        ids = [_ids(text) for text in texts]
    return {tensor.name: source_values(ids, tensor)}


def _texts(request: GenerateRequest) -> Sequence[str] | None:
    """Return the sources as text; None if they come from a file of arrays."""
    if request.inputs is None:
        return request.sources
    return _lines(request.inputs) if request.inputs.suffix == ".txt" else None


def _shown(
    texts: Sequence[str] | None,
    source: Vocabulary | None,
    output: Vocabulary | None,
    found: Sequence[Generated],
) -> list[ShownSequence]:
    """Return the sequences with the names of their tokens; steps have numbers without texts."""
    shown = []
    for index, each in enumerate(found):
        text = f"source {index + 1}" if texts is None else texts[index]
        steps = max((value.shape[-1] for value in each.attention.values()), default=0)
        sources: Sequence[str] = [str(step + 1) for step in range(steps)]
        if texts is not None:
            sources = text.split() if source is None else source.tokens_of(text)
        tokens = [_text([id], output) for id in each.ids]
        shown.append(ShownSequence(text, _text(each.ids, output), sources, tokens, each))
    return shown


def _source_entry(model: Model) -> EntryPoint:
    entries = {entry.name: entry for entry in model.bundle.manifest.entries}
    return entries.get(ENCODE) or entries.get(STREAM) or model.runner().entry


def _lines(place: Path) -> list[str]:
    try:
        return place.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError("E-DATA-NOT-FOUND", f"{place}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("E-DATA-DAMAGED", f"{place}: expected a UTF-8 text: {error}") from error


def _ids(text: str) -> list[int]:
    words = text.split()
    if not all(word.isascii() and word.isdigit() for word in words):
        raise InputError(
            "E-GENERATE-UNKNOWN-TOKEN",
            f"{text!r}: expected token ids, such as '3 7 2'; for text add --vocabulary FILE",
        )
    return [int(word) for word in words]


def _token(word: str | None, vocabulary: Vocabulary | None, option: str) -> int | None:
    return None if word is None else token_id(word, vocabulary, option)


def _text(ids: Sequence[int], vocabulary: Vocabulary | None) -> str:
    return " ".join(map(str, ids)) if vocabulary is None else vocabulary.text_of(ids)


def _facts(each: Generated, vocabulary: Vocabulary | None) -> dict[str, Any]:
    facts: dict[str, Any] = {} if vocabulary is None else {"text": vocabulary.text_of(each.ids)}
    facts |= {"ids": list(each.ids), "score": each.score, "ended": each.ended}
    if each.others:
        facts["others"] = [_facts(other, vocabulary) for other in each.others]
    if each.attention:
        facts["attention"] = {name: value.tolist() for name, value in each.attention.items()}
    return facts
