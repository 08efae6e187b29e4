"""Plain arrays where a model has one input or output, dicts by name where it has several."""

from collections.abc import Mapping

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, EntryPoint

Feeds = Array | Mapping[str, Array]
Results = Array | dict[str, Array]


def named(entry: EntryPoint, feeds: Feeds) -> Mapping[str, Array]:
    """Feeds by name; InputError for one array where the model has several inputs."""
    if isinstance(feeds, Mapping):
        return feeds
    if len(entry.inputs) != 1:
        names = ", ".join(tensor.name for tensor in entry.inputs)
        raise InputError(f"the model has several inputs; give a dict with {names}")
    return {entry.inputs[0].name: np.asanyarray(feeds)}  # a mask is seen, and refused, later


def plain(entry: EntryPoint, results: Mapping[str, Array]) -> Results:
    """The outputs without the states; the array itself where there is one."""
    outputs = {tensor.name: results[tensor.name] for tensor in entry.outputs}
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs
