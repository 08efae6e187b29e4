"""A model written as C, compiled and run, beside the same model in float64."""

import numpy as np

from rnn_deploy.c.halves import halves_of
from rnn_deploy.c.reading import read_graph
from rnn_deploy.c.source import c_model
from rnn_deploy.c.storage import FLOAT32
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.references.reference import Reference
from rnn_deploy.runtimes.c import PREFIXES, CLibrary, CRunner
from rnn_deploy.runtimes.compiler import built_library


def planned(model):
    """The plan of a model, as an export has it."""
    return plan_of(model, ExportOptions(("c",)))


def sources_of(plan, storage=FLOAT32):
    """The C files of a planned model, matrices stored so."""
    widest = plan.stream or plan.sequence
    graph = read_graph(plan.model, widest.trace.signature)
    states = [state.key for state in widest.entry.states]
    halves = None if plan.halves is None else halves_of(graph, plan.halves)
    return c_model(graph.program, states, storage, halves)


def runner_of(plan, entry, change=lambda name, text: text, storage=FLOAT32):
    """A runner of an entry point; change: spoils a file, given its name and text."""
    texts = sources_of(plan, storage).files
    files = {name: change(name, text).encode() for name, text in texts.items()}
    prefix = PREFIXES.get(entry.name, "model")
    return CRunner(entry, CLibrary(str(built_library(files)), prefix))


def feeds_of(entry, batch=3, steps=7, seed=0, states=True):
    """Random feeds: some steps zero, so that masks mask; ids over the vocabulary; states if any."""
    rng = np.random.default_rng(seed)
    sizes = {"batch": batch}
    for index, symbol in enumerate(entry.time_symbols):
        sizes[symbol] = steps + 2 * index
    feeds = {}
    for tensor in entry.inputs:
        shape = [dim if isinstance(dim, int) else sizes[dim] for dim in tensor.shape]
        if tensor.dtype == "bool":
            value = rng.random(shape) < 0.6
        elif tensor.below is not None:
            value = rng.integers(0, tensor.below, shape).astype(tensor.dtype)
        else:
            value = rng.standard_normal(shape).astype(tensor.dtype)
            if len(shape) > 2:
                value[rng.random(shape[:2]) < 0.3] = 0
        feeds[tensor.name] = value
    for state in entry.states if states else ():
        shape = [dim if isinstance(dim, int) else batch for dim in state.tensor.shape]
        feeds[state.tensor.name] = rng.standard_normal(shape).astype(np.float32) * np.float32(0.5)
    return feeds


def worst_error(got, truth):
    """The largest error of any tensor, relative to 1 or its magnitude; NaN where both are not."""
    worst = 0.0
    for name, value in got.items():
        assert value.shape == truth[name].shape, (name, value.shape, truth[name].shape)
        assert np.array_equal(np.isnan(value), np.isnan(truth[name])), name
        scale = max(1.0, float(np.nanmax(np.abs(truth[name]), initial=0.0)))
        error = np.abs(value.astype(np.float64) - truth[name])
        worst = max(worst, float(np.nanmax(error, initial=0.0)) / scale)
    return worst


def error_of(plan, seed=0, change=lambda name, text: text, storage=FLOAT32, model=None):
    """The largest error of both entry points against the float64 model, or against `model`."""
    widest = (plan.stream or plan.sequence).entry
    oracle, worst = Reference(model or plan.model, widest, "float64"), 0.0
    for traced in plan.traced:
        runner = runner_of(plan, traced.entry, change, storage)
        feeds = feeds_of(traced.entry, seed=seed)
        given = {
            n: v.astype(np.float64) if n not in _inputs(widest) else v for n, v in feeds.items()
        }
        truth = oracle.run(given)
        worst = max(worst, worst_error(runner.run(feeds), truth))
    return worst


def _inputs(entry):
    return {tensor.name for tensor in entry.inputs}
