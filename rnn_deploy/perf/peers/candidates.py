"""Export the same model in other lowerings of rnn_deploy, as bundles in a temporary folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.exporting.reading import ModelReader
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.perf.peers.build import UnavailablePeer
from rnn_deploy.perf.peers.model import PeerModel

Progress = Callable[[str], None]
FORMAT = "onnx"


def candidates(
    names: Sequence[str], model: PeerModel, folder: Path, progress: Progress
) -> tuple[dict[str, Bundle], list[UnavailablePeer]]:
    """Export an ONNX bundle for each name below `folder`; also return failures with reasons.

    names: lowerings; "auto-BATCHxTIME" is auto for that expected shape, "unrolled-TIME" accepts
    only that number of steps.
    """
    bundles: dict[str, Bundle] = {}
    left_out: list[UnavailablePeer] = []
    reader = ModelReader(model.model)
    for name in names:
        progress(f"exporting as {name}")
        options = _options(name, model.time)
        try:
            place = folder / f"as-{name}"
            bundles[name] = export(model.model, place, options, reader=reader)
        except UnsupportedModelError as error:
            left_out.append(UnavailablePeer(name, str(error)))
    return bundles, left_out


def steps_of(name: str) -> int | None:
    """Return the one number of steps that a candidate accepts; None if it accepts any."""
    _, _, of = name.partition("-")
    return int(of) if of.isdigit() else None


def _options(name: str, time: int | None) -> ExportOptions:
    lowering, _, of = name.partition("-")
    steps = steps_of(name)
    if steps is not None:  # only for whole sequences, so it needs no stream
        return ExportOptions(FORMAT, lowering=lowering, time=steps, state="reset", long=0)
    expect = (of,) if of else ()
    return ExportOptions(FORMAT, lowering=lowering, time=time, expect=expect)
