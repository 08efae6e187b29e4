"""The Keras model that a bundle was made from: recomputes golden cases, and explains faults.

--against MODEL --open_reference--> new golden cases and the original model
--model MODEL   --open_later--> the original model, opened when it is first used
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import numpy as np

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.bundle.manifest import DROPOUT_OFF
from rnn_deploy.cli.options import opening_options
from rnn_deploy.errors import InputError
from rnn_deploy.formats.options import OPEN, ExportOptions
from rnn_deploy.spec import STREAM, Array
from rnn_deploy.spec.opening import Opening
from rnn_deploy.verifying.diagnose.original_model import Feeds, LayerTruth, OriginalModel
from rnn_deploy.verifying.judge.quantisation import INTEGER_MODES

if TYPE_CHECKING:
    from rnn_deploy.references.reference import Reference


AsExported = Callable[[], AbstractContextManager[None]]
SEED = 1  # not the seed of `export`, so that the inputs are new


@dataclass(frozen=True)
class OpenedReference:
    """An opened Keras model. cases: new golden cases of every kind."""

    cases: Sequence[GoldenCase]
    original: OriginalModel


@dataclass(frozen=True)
class ModelOption:
    """The options that name the Keras model; see `model_options`.

    Raises InputError for options that exclude each other, or would have no effect.
    """

    against: Path | None
    model: Path | None
    seed: int | None
    trust_source: bool
    weights: str | None
    model_from: str | None
    custom: tuple[Path, ...]

    def __post_init__(self) -> None:
        if self.against and self.model:
            raise InputError(
                "E-OPTION-CONFLICT", "--against and --model both name the model; give one of them"
            )
        if self.seed is not None and not self.against:
            raise InputError(
                "E-OPTION-NEEDS",
                "--seed applies only to the inputs of --against; add --against MODEL or remove it",
            )
        given = [name for name, value in vars(self.opening).items() if value]
        if given and not (self.against or self.model):
            flag = given[0].replace("_", "-")
            raise InputError(
                "E-OPTION-NEEDS", f"--{flag} applies only to a model; add --model MODEL"
            )

    @property
    def opening(self) -> Opening:
        """Return the options for opening the model."""
        return Opening(self.trust_source, self.weights, self.model_from, self.custom)

    def open(
        self, bundle: Bundle, step: Callable[[str], None]
    ) -> tuple[Sequence[GoldenCase] | None, OriginalModel | None]:
        """Return new cases for --against, and the original model for either option."""
        if self.against is not None:
            seed = SEED if self.seed is None else self.seed
            reference = open_reference(bundle, self.against, seed, self.opening, step)
            return reference.cases, reference.original
        if self.model is None:
            return None, None
        return None, open_later(bundle, self.model, self.opening, step)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of ModelOption to a command."""
    options = (
        click.option(
            "--against",
            type=click.Path(path_type=Path),
            metavar="MODEL",
            help="Recompute the reference with this model, on new inputs.",
        ),
        click.option(
            "--model",
            type=click.Path(path_type=Path),
            metavar="MODEL",
            help="The model that the bundle was made from, to name the wrong layer and its fault.",
        ),
        click.option(
            "--seed",
            type=int,
            help=f"Random seed for the inputs of --against.  [default: {SEED}]",
        ),
        opening_options,
    )
    for option in reversed(options):
        command = option(command)
    return command


def open_reference(
    bundle: Bundle, model: Path, seed: int, opening: Opening, step: Callable[[str], None]
) -> OpenedReference:
    """Open the model of a bundle and make new cases; raise InputError if it is another model."""
    step("recomputing the reference with TensorFlow")
    from rnn_deploy.exporting.cases import reference_cases, references_of, special_of
    from rnn_deploy.exporting.plan import plan_of, with_chunks

    opened = _open_same_model(bundle, model, opening)
    _refuse_int8(bundle)
    inputs = bundle.manifest.entry("sequence").inputs
    fixed = {t.shape[1] for t in inputs if len(t.shape) > 1}
    (time,) = fixed if len(fixed) == 1 else (None,)
    batch = inputs[0].shape[0]
    state = bundle.manifest.state
    options = ExportOptions(
        [artifact.format for artifact in bundle.manifest.artifacts],
        time=time if isinstance(time, int) else OPEN if time is not None else None,
        batch=batch if isinstance(batch, int) else OPEN,
        seed=seed,
        state=state,
    )
    chunked = [entry.chunked for entry in bundle.manifest.entries if entry.name == STREAM]
    with _as_exported(bundle)():
        plan = plan_of(opened.model, options)
        references = references_of(opened.model, plan)
        cases = reference_cases(references, plan, options)
        plan = with_chunks(plan, *chunked) if chunked else plan
        cases += special_of(plan, references, cases, options).cases
        ours, oracle = references.reference, references.oracle
    both = cast("Reference", ours), cast("Reference", oracle)
    return OpenedReference(cases, _original(opened.model, *both, _as_exported(bundle)))


def open_later(
    bundle: Bundle, model: Path, opening: Opening, step: Callable[[str], None]
) -> OriginalModel:
    """Return the model of a bundle, opened when it is first used.

    If nothing fails, TensorFlow is not imported. Raises InputError at once for a missing file.
    """
    if not model.exists():
        raise InputError(
            "E-SOURCE-NOT-FOUND",
            f"{model} does not exist; give the model file that {bundle.root} was made from",
        )

    @cache
    def opened() -> OriginalModel:
        step("opening the original model with TensorFlow")
        return _original_of(bundle, model, opening)

    return OriginalModel(
        lambda feeds: opened().oracle(feeds),
        lambda feeds: opened().recurrent_calls(feeds),
        lambda feeds: opened().layers(feeds),
        lambda: opened().weights(),
    )


def _original_of(bundle: Bundle, model: Path, opening: Opening) -> OriginalModel:
    from rnn_deploy.references.reference import Reference

    opened = _open_same_model(bundle, model, opening)
    names = [entry.name for entry in bundle.manifest.entries]
    entry = bundle.manifest.entry(STREAM if STREAM in names else names[0])
    ours, oracle = (Reference(opened.model, entry, dtype) for dtype in ("float32", "float64"))
    return _original(opened.model, ours, oracle, _as_exported(bundle))


def _as_exported(bundle: Bundle) -> AsExported:
    """Return a function that opens a context in which the model is called as in the export."""
    from rnn_deploy.keras.intercept import keeping_states
    from rnn_deploy.keras.training import without_dropout

    @contextmanager
    def as_exported() -> Iterator[None]:
        keep, off = bundle.manifest.state == "keep", DROPOUT_OFF in bundle.manifest.extensions
        with keeping_states(keep), without_dropout(off):
            yield

    return as_exported


def _original(
    model: Any, ours: "Reference", oracle: "Reference", as_exported: AsExported
) -> OriginalModel:
    from rnn_deploy.references.layer_outputs import LayerOutputs

    both = cache(lambda: (LayerOutputs(oracle), LayerOutputs(ours)))

    def layers(feeds: Feeds) -> list[LayerTruth]:
        true, own = (outputs.run(feeds) for outputs in both())
        return [LayerTruth(name, a, b) for (name, a), (_, b) in zip(true, own, strict=True)]

    def in_context(function: Callable[[Feeds], Any]) -> Callable[[Feeds], Any]:
        def call(feeds: Feeds) -> Any:
            with as_exported():  # the first call traces the model
                return function(feeds)

        return call

    return OriginalModel(
        in_context(oracle.run),
        in_context(oracle.layer_runs),
        in_context(layers),
        partial(weights_by_layer, model),
    )


def weights_by_layer(model: Any) -> dict[str, Array]:
    """Return every weight of a Keras model, by LAYER/WEIGHT; usually in float32."""
    from rnn_deploy.keras.access import layers_in

    weights: dict[str, Array] = {}
    for layer in layers_in(model, include_self=False):
        for number, weight in enumerate(layer.weights):
            path = str(getattr(weight, "path", weight.name)).partition(":")[0]
            within = path.rpartition(f"{layer.name}/")[2]
            name = f"{layer.name}/{within}"
            weights[name if name not in weights else f"{name}_{number}"] = np.asarray(weight)
    return weights


def _refuse_int8(bundle: Bundle) -> None:
    quantisation = bundle.manifest.quantisation
    if quantisation is not None and quantisation.mode in INTEGER_MODES:
        raise InputError(
            "E-VERIFY-INT8-INPUTS",
            "--against generates inputs, but a model with integer activations is only right"
            " within the range of its calibration data; verify without --against, on the"
            " bundle's golden vectors",
        )


def _open_same_model(bundle: Bundle, model: Path, opening: Opening) -> Any:
    from rnn_deploy.keras.opening import OpenedSavedModel, open_model
    from rnn_deploy.keras.preprocessing import without_preprocessing

    opened, _ = without_preprocessing(open_model(model, **vars(opening)))
    if isinstance(opened, OpenedSavedModel):
        raise InputError(
            "E-VERIFY-SAVED-MODEL",
            f"{model} is a SavedModel, from which the reference cannot be recomputed; give the"
            " .keras or .h5 file",
        )
    if opened.source.digest != bundle.manifest.source.digest:
        raise InputError(
            "E-VERIFY-OTHER-MODEL",
            f"{model} has other weights than the model that {bundle.root} was made from"
            f" ({bundle.manifest.source.name}); give that model, or export this one",
        )
    return opened
