"""expected.json and golden.npz: data with which check.py compares a running server."""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.packaging.triton.config import DATA_TYPES, ModelConfig, Port
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.verifying.judge.tolerance import Budgets

MOST_NUMBERS = 65_536  # numbers of one case
MOST_CASES = 12


def expected_json(configs: Sequence[ModelConfig]) -> bytes:
    """Return names, types and shapes of every model, to compare with what a server loaded."""
    return (json.dumps([_facts(config) for config in configs], indent=1) + "\n").encode()


def chosen_cases(
    config: ModelConfig, entry: EntryPoint, cases: Sequence[GoldenCase]
) -> list[GoldenCase]:
    """Return the plain cases that a model can run and that are not large."""
    states = {state.tensor.name for state in entry.states}
    kept = []
    for case in cases:
        numbers = sum(v.size for v in (*case.feeds.values(), *case.truth.values()))
        batch = len(case.feeds[entry.inputs[0].name])
        if entry.name not in case.entries or case.check or case.probes or numbers > MOST_NUMBERS:
            continue
        if config.max_batch and batch > config.max_batch:
            continue
        # Each sequence of a stateful model runs alone, and starts from zero.
        if config.states and (states & set(case.feeds) or not (case.rows_alone or entry.rows.ok)):
            continue
        kept.append(case)
    return kept[:MOST_CASES]


def golden_npz(
    models: Sequence[tuple[ModelConfig, EntryPoint, Sequence[GoldenCase]]], budgets: Budgets
) -> bytes:
    """Return the golden vectors as MODEL/CASE/PART/TENSOR; PART is in, out, limit or chunks."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for config, entry, cases in models:
            for case in cases:
                for name, value in _arrays(config, entry, case, budgets):
                    member = zipfile.ZipInfo(f"{config.name}/{case.name}/{name}.npy")
                    member.compress_type = zipfile.ZIP_DEFLATED
                    content = io.BytesIO()
                    np.lib.format.write_array(content, np.asarray(value), allow_pickle=False)
                    archive.writestr(member, content.getvalue())
    return buffer.getvalue()


def _arrays(
    config: ModelConfig, entry: EntryPoint, case: GoldenCase, budgets: Budgets
) -> Iterator[tuple[str, Array]]:
    batch = len(case.feeds[entry.inputs[0].name])
    states = () if config.states else entry.states
    for tensor in entry.inputs:
        yield f"in/{tensor.name}", case.feeds[tensor.name]
    for state in states:
        zero = np.zeros((batch, *config_dims(state.tensor.shape)), state.tensor.dtype)
        yield f"in/{state.tensor.name}", case.feeds.get(state.tensor.name, zero)
    for port in config.outputs:
        truth = case.truth[port.name]
        yield f"out/{port.name}", truth
        yield f"limit/{port.name}", budgets.budget_of(case, port.name).limits(truth)
    if config.states:
        steps = next(case.feeds[port.name].shape[1] for port in config.inputs if port.timed)
        yield "chunks/", np.array(case.chunks or [1] * steps)


def config_dims(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """Return the sizes of a state, which are fixed, without the batch."""
    return tuple(dim for dim in shape[1:] if isinstance(dim, int))


def _facts(config: ModelConfig) -> dict[str, object]:
    return {
        "name": config.name,
        "max_batch_size": config.max_batch,
        "inputs": [_port(port) for port in config.inputs],
        "outputs": [_port(port) for port in config.outputs],
        "sequences": bool(config.states),
        "states": [
            {
                "input_name": state.input,
                "output_name": state.output,
                "data_type": f"TYPE_{DATA_TYPES[state.dtype]}",
                "dims": list(state.dims),
            }
            for state in config.states
            if config.carries_state
        ],
    }


def _port(port: Port) -> dict[str, object]:
    data_type = f"TYPE_{DATA_TYPES[port.dtype]}"
    return {
        "name": port.name,
        "data_type": data_type,
        "dims": list(port.dims),
        "timed": port.timed,
    }
