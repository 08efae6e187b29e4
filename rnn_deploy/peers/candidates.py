"""The same model once more, in other lowerings of ours: bundles in a temporary folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.bundle import export
from rnn_deploy.exporting.plan import ExportOptions
from rnn_deploy.peers.build import LeftOut
from rnn_deploy.peers.model import PeerModel

Progress = Callable[[str], None]


def candidates(
    lowerings: Sequence[str], model: PeerModel, folder: Path, progress: Progress
) -> tuple[dict[str, Bundle], list[LeftOut]]:
    """A bundle of ONNX for each lowering below `folder`; those that cannot be, and why."""
    bundles: dict[str, Bundle] = {}
    left_out: list[LeftOut] = []
    for name in lowerings:
        progress(f"exporting as {name}")
        options = ExportOptions(to=("onnx",), lowering=name, time=model.time)
        try:
            bundles[name] = export(model.model, folder / f"as-{name}", options)
        except UnsupportedModelError as error:
            left_out.append(LeftOut(name, str(error)))
    return bundles, left_out
