"""A plain array if a model has one input (or output), a dict by name if it has several."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, EntryPoint

Feeds = Array | list[Any] | tuple[Any, ...] | Mapping[str, Any]
Results = Any  # an array, or a list for sequences of different lengths; several outputs: a dict


def named(entry: EntryPoint, feeds: Feeds) -> Mapping[str, Any]:
    """Return feeds by name; raise InputError for one array if the model has several inputs."""
    if isinstance(feeds, Mapping):
        return feeds
    if len(entry.inputs) != 1:
        names = ", ".join(tensor.name for tensor in entry.inputs)
        raise InputError(
            "E-INPUT-SEVERAL", f"the model has several inputs: give a dict with the names {names}"
        )
    if not isinstance(feeds, list | tuple):
        feeds = np.asanyarray(feeds)  # the runner refuses masked arrays
    return {entry.inputs[0].name: feeds}


def plain(entry: EntryPoint, results: Mapping[str, Any]) -> Results:
    """Return the outputs without the states; the array itself if there is only one."""
    outputs = {tensor.name: results[tensor.name] for tensor in entry.outputs}
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs
