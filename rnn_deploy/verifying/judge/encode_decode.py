"""The check `encode-decode`: encoder and decoder alone compute the same as the whole model.

The truth is the whole model under teacher forcing, with the final states of its decoder. The check
runs `encode`, `decode` alone from the true memory and states, and both together: the decoder over
the whole target, in chunks, and step by step.
"""

from collections.abc import Iterator, Mapping

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.inference.stream import run_in_chunks
from rnn_deploy.spec import DECODE, ENCODE, Array, EntryPoint
from rnn_deploy.verifying.judge.subject import CheckResult, CheckSubject

CHECK = "encode-decode"


def encode_decode(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """Run the encoder and the decoder of a case."""
    if not (subject.takes(case, ENCODE) and subject.takes(case, DECODE)):
        return
    encode, decode = subject.runners[ENCODE], subject.runners[DECODE]
    encoded = encode.run(fed(encode.entry, case.feeds))
    yield CheckResult(encoded, detail="encode")
    yield CheckResult(decode.run(fed(decode.entry, case.feeds)), detail="decode alone")
    feeds = fed(decode.entry, {**case.feeds, **encoded})
    steps = sum(case.chunks)
    ways = {
        "whole": (steps,),
        "in chunks of " + "+".join(map(str, case.chunks)): case.chunks,
        "step by step": (1,) * steps,
    }
    for name, lengths in ways.items():
        yield CheckResult(run_in_chunks(decode, feeds, lengths), detail=f"encode, decode {name}")


def fed(entry: EntryPoint, values: Mapping[str, Array]) -> dict[str, Array]:
    """Return those of the values that an entry point takes."""
    return {t.name: values[t.name] for t in entry.all_inputs if t.name in values}
