"""The same model once more, in other lowerings of ours: bundles in a temporary folder."""

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
    """A bundle of ONNX by each name below `folder`; those that cannot be, and why.

    names: lowerings; "auto-BATCHxTIME" is auto where that shape is expected, "unrolled-TIME" is of
    that number of steps and no other.
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
    """The one number of steps that a candidate takes; None where it takes any."""
    _, _, of = name.partition("-")
    return int(of) if of.isdigit() else None


def _options(name: str, time: int | None) -> ExportOptions:
    lowering, _, of = name.partition("-")
    steps = steps_of(name)
    if steps is not None:  # for whole sequences alone, so it needs no stream
        return ExportOptions(FORMAT, lowering=lowering, time=steps, state="reset", long=0)
    expect = (of,) if of else ()
    return ExportOptions(FORMAT, lowering=lowering, time=time, expect=expect)
