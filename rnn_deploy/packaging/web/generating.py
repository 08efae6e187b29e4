"""What a page needs to generate: the entry points encode and decode, tokens, and vocabularies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.errors import InputError
from rnn_deploy.inference.generation import MAX_STEPS
from rnn_deploy.inference.next_token import DecoderSpec, decoder_spec
from rnn_deploy.inference.vocabulary import SPLITS, Vocabulary, read_vocabulary, token_id
from rnn_deploy.packaging.base import PackagerOption
from rnn_deploy.spec import DECODE, ENCODE, EntryPoint, TensorSpec

CONTROL = "generate"
OPTIONS = (
    PackagerOption("start", "", "To generate: the token that the decoder begins with, or id=N."),
    PackagerOption("end", "", "To generate: the token that ends a sequence, or id=N."),
    PackagerOption("vocabulary", "", "To generate: file with an output token on each line."),
    PackagerOption("source_vocabulary", "", "The same for the source; default: --vocabulary."),
    PackagerOption("split", SPLITS[0], f"How text is split in tokens: {', '.join(SPLITS)}."),
)


@dataclass(frozen=True)
class Generation:
    """How the page generates.

    encode, decode: the entry points. spec: how the decoder takes tokens. start, end: ids; no end
    means that every sequence has the largest length. output, source: vocabularies, None for ids.
    """

    encode: EntryPoint
    decode: EntryPoint
    spec: DecoderSpec
    start: int
    end: int | None
    output: Vocabulary | None
    source: Vocabulary | None

    def facts(self) -> dict[str, Any]:
        """Return what the page reads, as plain JSON values."""
        made = {tensor.name for tensor in (*self.encode.outputs, *self.encode.inputs)}
        return {
            "token": self.spec.token.name,
            "one_hot": self.spec.one_hot,
            "output": self.spec.output.name,
            "attention": list(self.spec.attention),
            "memory": [t.name for t in self.decode.inputs if t.name in made],
            "states": [s.tensor.name for s in self.decode.states if s.tensor.name in made],
            "start": self.start,
            "end": self.end,
            "max_steps": MAX_STEPS,
            "vocabulary": _plain(self.output),
            "source": _plain(self.source),
        }


def generates(bundle: Bundle, format: str) -> bool:
    """Return whether a bundle has files of a format for encode and decode."""
    manifest = bundle.manifest
    return all(manifest.artifact(format, name) is not None for name in (ENCODE, DECODE))


def generation_of(bundle: Bundle, options: Mapping[str, str]) -> Generation:
    """Return how the page generates. Raise InputError if the model or the options do not fit."""
    encode, decode = (bundle.manifest.entry(name) for name in (ENCODE, DECODE))
    spec = decoder_spec(decode, [t.name for t in (*encode.outputs, *encode.inputs)])
    output = source = None
    if options["vocabulary"]:
        output = read_vocabulary(Path(options["vocabulary"]), _split(options))
        _check_size(output, spec.tokens, spec.output)
        source = output
    if options["source_vocabulary"]:
        source = read_vocabulary(Path(options["source_vocabulary"]), _split(options))
    if not options["start"]:
        raise InputError(
            "E-GENERATE-START",
            "a page that generates needs the token that the decoder begins with; add --start TOKEN,"
            " as in the training",
        )
    if len(encode.inputs) != 1:
        names = ", ".join(tensor.name for tensor in encode.inputs)
        raise InputError(
            "E-OPTION-CONTROL",
            f"--control {CONTROL} does not fit this model: it has several source inputs ({names})",
        )
    (given,) = encode.inputs
    if source is not None and not _has_text(bundle, given.name):
        _check_size(source, _tokens_of(given), given)
    start = _id_of(options["start"], output, "--start", spec.below)
    end = _id_of(options["end"], output, "--end", spec.tokens) if options["end"] else None
    return Generation(encode, decode, spec, start, end, output, source)


def _split(options: Mapping[str, str]) -> str:
    if options["split"] not in SPLITS:
        raise InputError(
            "E-OPTION-CONTROL", f"--split {options['split']}: expected {' or '.join(SPLITS)}"
        )
    return options["split"]


def _check_size(vocabulary: Vocabulary, tokens: int | None, tensor: TensorSpec) -> None:
    if tokens is not None and len(vocabulary.tokens) > tokens:
        raise InputError(
            "E-GENERATE-VOCABULARY",
            f"the vocabulary has {len(vocabulary.tokens)} tokens and '{tensor}' takes {tokens};"
            " give the vocabulary of this model",
        )


def _tokens_of(tensor: TensorSpec) -> int | None:
    if len(tensor.shape) == 3 and isinstance(tensor.shape[2], int):
        return tensor.shape[2]
    return tensor.below


def _has_text(bundle: Bundle, name: str) -> bool:
    return bool(attachments_of(bundle).steps.get(name))


def _id_of(word: str, vocabulary: Vocabulary | None, option: str, below: int) -> int:
    token = token_id(word, vocabulary, option)
    if not token < below:
        raise InputError(
            "E-GENERATE-TOKEN",
            f"{option} is {token}; expected a token of the vocabulary, from 0 to {below - 1}",
        )
    return token


def _plain(vocabulary: Vocabulary | None) -> dict[str, Any] | None:
    if vocabulary is None:
        return None
    return {"tokens": list(vocabulary.tokens), "split": vocabulary.split}
