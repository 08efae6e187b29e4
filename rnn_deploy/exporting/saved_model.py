"""The fall-back for a SavedModel, whose layers can no longer be read.

Its serving function is the only reference and the only entry point: there is no stream entry point
and no float64 oracle, and the bundle's notes say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.exporting.cases import checked_samples
from rnn_deploy.exporting.id_ranges import id_ranges
from rnn_deploy.exporting.reading import Progress
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ReadSavedModel
from rnn_deploy.keras.opening import OpenedSavedModel
from rnn_deploy.keras.signature import BATCH, dims_of
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.references.golden import References, make_cases
from rnn_deploy.references.reference import tensorflow_refused
from rnn_deploy.references.rows import rows_match
from rnn_deploy.references.samples import draw
from rnn_deploy.spec import SEQUENCE, Array, Dim, EntryPoint, TensorSpec

NOTE = (
    "made from a SavedModel, whose layers can no longer be read: there is no stream entry point and"
    " no float64 oracle; export the .keras or .h5 file, if you have it, to get them"
)


def notes_on(opened: OpenedSavedModel) -> tuple[str, ...]:
    """Return the notes for the user, and why the layers cannot be read, if that is known."""
    return (NOTE, *((f"why the layers cannot be read: {opened.why}",) if opened.why else ()))


Results = Mapping[str, Array]


class SavedModelReference:
    """The SavedModel's own function under TensorFlow; `run` takes and returns arrays by name."""

    def __init__(self, opened: OpenedSavedModel) -> None:
        self._function = opened.function

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return outputs by name for inputs by name."""
        try:
            results = self._function(**{name: tf.constant(v) for name, v in feeds.items()})
        except tf.errors.OpError as error:
            raise tensorflow_refused(error) from error
        return {name: value.numpy() for name, value in results.items()}


def entry_of(
    opened: OpenedSavedModel, reference: SavedModelReference, samples: Mapping[str, Array] | None
) -> EntryPoint:
    """Return the sequence entry point; two runs with different sizes name its output dimensions."""
    inputs = _inputs(opened, tied=False)
    if not _takes_lengths(reference, inputs, samples):
        inputs = _inputs(opened, tied=True)
    feeds = [dict(samples)] if samples is not None else [_drawn(inputs, probe) for probe in (0, 1)]
    runs = [(_sizes_in(inputs, given), reference.run(given)) for given in feeds]
    outputs = tuple(
        TensorSpec(name, _output_dims(name, value.shape.as_list(), runs), value.dtype.name)
        for name, value in sorted(opened.function.structured_outputs.items())
    )
    return EntryPoint(SEQUENCE, inputs, outputs)


def _inputs(opened: OpenedSavedModel, *, tied: bool) -> tuple[TensorSpec, ...]:
    """Return the inputs: each has its own length symbol, or they share one if `tied`."""
    _, by_name = opened.function.structured_input_signature
    ranges = id_ranges(opened.function)
    shapes = {name: spec.shape.as_list() for name, spec in sorted(by_name.items())}
    lengths = sum(shape[1:2] == [None] for shape in shapes.values())
    return tuple(
        TensorSpec(
            name,
            dims_of(name, shape, alone=tied or lengths < 2),
            by_name[name].dtype.name,
            below=ranges.get(name),
        )
        for name, shape in shapes.items()
    )


def _takes_lengths(
    reference: SavedModelReference,
    inputs: Sequence[TensorSpec],
    samples: Mapping[str, Array] | None,
) -> bool:
    """Return whether the function runs with a different size for each open length."""
    feeds = _drawn(inputs, 0) if samples is None else dict(samples)
    timed = [t.name for t in inputs if len(t.shape) > 1 and isinstance(t.shape[1], str)]
    if samples is not None and len({feeds[name].shape[1] for name in timed if name in feeds}) == 1:
        feeds |= {name: feeds[name][:, cut:] for cut, name in enumerate(timed)}
    try:
        reference.run(feeds)
    except InputError:
        return False
    return True


def _drawn(inputs: Sequence[TensorSpec], probe: int) -> dict[str, Array]:
    """Return values for the inputs; every symbol has a different size in each probe."""
    symbols = dict.fromkeys(dim for t in inputs for dim in t.shape if isinstance(dim, str))
    sizes = {symbol: 5 + 3 * place + 2 * probe for place, symbol in enumerate(symbols)}
    sizes[BATCH] = 2 + probe
    return draw(inputs, sizes, np.random.default_rng(probe))


def read_saved_model(
    opened: OpenedSavedModel, options: ExportOptions, progress: Progress
) -> ReadSavedModel:
    """Return the SavedModel with its entry point and golden vectors."""
    progress("taking golden vectors from TensorFlow")
    reference = SavedModelReference(opened)
    try:
        entry = entry_of(opened, reference, options.samples)
        samples = checked_samples(options, entry)
        # If there are real inputs, generated inputs that the model rejects are left out.
        cases = make_cases(
            *(References(reference, None), entry, None, samples, options.seed),
            every_length=samples is None,
        )
    except InputError as error:
        if error.code != "E-INPUT-REJECTED" or options.samples is not None:
            raise
        raise InputError(
            "E-EXPORT-NEEDS-SAMPLES",
            "the layers of this SavedModel cannot be read, and it rejects generated inputs"
            f" ({error.message.partition(': ')[2].partition('; give')[0]}); give real ones:"
            " --samples FILE.npz",
        ) from error
    entry = replace(entry, rows=rows_match(reference.run, entry, cases))
    return ReadSavedModel(opened, entry, cases)


def _sizes_in(inputs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> dict[str, int]:
    return {
        dim: size
        for t in inputs
        for dim, size in zip(t.shape, feeds[t.name].shape, strict=True)
        if isinstance(dim, str)
    }


def _output_dims(
    name: str, shape: Sequence[int | None], runs: Sequence[tuple[Mapping[str, int], Results]]
) -> tuple[Dim, ...]:
    """Return the dimensions of an output; an open one is the symbol with its size in every run."""

    def symbol(axis: int) -> str:
        fitting = [
            symbol
            for symbol in runs[0][0]
            if all(results[name].shape[axis] == sizes[symbol] for sizes, results in runs)
        ]
        return fitting[0] if len(fitting) == 1 else f"{name}_axis{axis}"

    return tuple(symbol(axis) if dim is None else dim for axis, dim in enumerate(shape))
