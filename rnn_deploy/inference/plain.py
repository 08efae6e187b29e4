"""A plain array if a model has one input (or output), a dict by name if it has several."""

from collections.abc import Mapping

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, EntryPoint

Feeds = Array | Mapping[str, Array]
Results = Array | dict[str, Array]


def named(entry: EntryPoint, feeds: Feeds) -> Mapping[str, Array]:
    """Return feeds by name; InputError if one array is given and the model has several inputs."""
    if isinstance(feeds, Mapping):
        return feeds
    if len(entry.inputs) != 1:
        names = ", ".join(tensor.name for tensor in entry.inputs)
        raise InputError(
            "E-INPUT-SEVERAL", f"the model has several inputs: give a dict with the names {names}"
        )
    return {entry.inputs[0].name: np.asanyarray(feeds)}  # the runner refuses masked arrays


def plain(entry: EntryPoint, results: Mapping[str, Array]) -> Results:
    """Return the outputs without the states; the array itself if there is only one."""
    outputs = {tensor.name: results[tensor.name] for tensor in entry.outputs}
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs
