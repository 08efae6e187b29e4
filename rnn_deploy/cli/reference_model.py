"""The Keras model that a bundle was made from, at hand to recompute, localise and explain with.

--against MODEL --model_at_hand--> new golden cases, and the original
--model MODEL   --original_later--> the original, opened when it is first asked
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.spec import STREAM
from rnn_deploy.verifying.diagnose.original_model import Feeds, LayerTruth, OriginalModel

if TYPE_CHECKING:
    from rnn_deploy.references.reference import Reference


SEED = 1  # another than export's


@dataclass(frozen=True)
class OpenedReference:
    """A model that is at hand. cases: new golden cases of every kind."""

    cases: Sequence[GoldenCase]
    original: OriginalModel


@dataclass(frozen=True)
class ModelOption:
    """The model as the command line names it, to recompute (`against`) or to explain with.

    seed: of the inputs made with `against`. InputError for options that contradict each other, or
    that nothing would come of.
    """

    against: Path | None
    model: Path | None
    seed: int | None
    trust_source: bool

    def __post_init__(self) -> None:
        if self.against and self.model:
            raise InputError("--against and --model both name the model; leave one of them out")
        if self.seed is not None and not self.against:
            raise InputError(
                "--seed is of the inputs that --against makes; leave it out, or add that"
            )
        if self.trust_source and not (self.against or self.model):
            raise InputError("--trust-source is of a model, and none is named; add --model MODEL")

    def taken(
        self, bundle: Bundle, step: Callable[[str], None]
    ) -> tuple[Sequence[GoldenCase] | None, OriginalModel | None]:
        """New cases where they are asked for, and the original where the model is at hand."""
        if self.against is not None:
            seed = SEED if self.seed is None else self.seed
            at_hand = model_at_hand(bundle, self.against, seed, self.trust_source, step)
            return at_hand.cases, at_hand.original
        if self.model is None:
            return None, None
        return None, original_later(bundle, self.model, self.trust_source, step)


def model_at_hand(
    bundle: Bundle, model: Path, seed: int, trust_source: bool, step: Callable[[str], None]
) -> OpenedReference:
    """Open the model of a bundle; InputError when it is another one."""
    step("recomputing the reference with TensorFlow")
    from rnn_deploy.exporting.cases import reference_cases, references_of, special_of
    from rnn_deploy.exporting.plan import plan_of, with_chunks
    from rnn_deploy.keras.intercept import keeping_states

    opened = _opened(bundle, model, trust_source)
    _refuse_int8(bundle)
    fixed = {t.shape[1] for t in bundle.manifest.entry("sequence").inputs if len(t.shape) > 1}
    (time,) = fixed if len(fixed) == 1 else (None,)
    state = bundle.manifest.state
    options = ExportOptions(
        [artifact.format for artifact in bundle.manifest.artifacts],
        time=time if isinstance(time, int) else None,
        seed=seed,
        state=state,
    )
    chunked = [entry.chunked for entry in bundle.manifest.entries if entry.name == STREAM]
    with keeping_states(state == "keep"):
        plan = plan_of(opened.model, options)
        references = references_of(opened.model, plan)
        cases = reference_cases(references, plan, options)
        plan = with_chunks(plan, *chunked) if chunked else plan
        cases += special_of(plan, references, cases, options)
        ours, oracle = references.reference, references.oracle
    both = cast("Reference", ours), cast("Reference", oracle)
    return OpenedReference(cases, _original(*both, keep=state == "keep"))


def original_later(
    bundle: Bundle, model: Path, trust_source: bool, step: Callable[[str], None]
) -> OriginalModel:
    """The model of a bundle, opened when something is first asked of it: where nothing fails,
    TensorFlow is not even imported. InputError at once where there is no such file."""
    if not model.exists():
        raise InputError(f"{model}: no such model; give the file '{bundle.root}' was made from")

    @cache
    def opened() -> OriginalModel:
        step("opening the original model with TensorFlow")
        return _original_of(bundle, model, trust_source)

    return OriginalModel(
        lambda feeds: opened().oracle(feeds),
        lambda feeds: opened().watched(feeds),
        lambda feeds: opened().layers(feeds),
    )


def _original_of(bundle: Bundle, model: Path, trust_source: bool) -> OriginalModel:
    from rnn_deploy.references.reference import Reference

    opened = _opened(bundle, model, trust_source)
    names = [entry.name for entry in bundle.manifest.entries]
    entry = bundle.manifest.entry(STREAM if STREAM in names else names[0])
    ours, oracle = (Reference(opened.model, entry, dtype) for dtype in ("float32", "float64"))
    return _original(ours, oracle, keep=bundle.manifest.state == "keep")


def _original(ours: "Reference", oracle: "Reference", *, keep: bool) -> OriginalModel:
    from rnn_deploy.keras.intercept import keeping_states
    from rnn_deploy.references.layer_outputs import LayerOutputs

    both = cache(lambda: (LayerOutputs(oracle), LayerOutputs(ours)))

    def layers(feeds: Feeds) -> list[LayerTruth]:
        true, own = (outputs.run(feeds) for outputs in both())
        return [LayerTruth(name, a, b) for (name, a), (_, b) in zip(true, own, strict=True)]

    def kept(function: Callable[[Feeds], Any]) -> Callable[[Feeds], Any]:
        def call(feeds: Feeds) -> Any:
            with keeping_states(keep):  # the first call traces the model
                return function(feeds)

        return call

    return OriginalModel(kept(oracle.run), kept(oracle.layer_runs), kept(layers))


def _refuse_int8(bundle: Bundle) -> None:
    quantisation = bundle.manifest.quantisation
    if quantisation is not None and quantisation.mode == "int8":
        raise InputError(
            "--against makes up inputs, and int8 is right only within the ranges of those it was"
            " calibrated on; verify without it, on the bundle's own golden vectors"
        )


def _opened(bundle: Bundle, model: Path, trust_source: bool) -> Any:
    from rnn_deploy.keras.opening import OpenedSavedModel, open_model

    opened = open_model(model, trust_source=trust_source)
    if isinstance(opened, OpenedSavedModel):
        raise InputError(f"{model}: give the .keras or .h5 file, not a SavedModel")
    if opened.source.digest != bundle.manifest.source.digest:
        raise InputError(
            f"{model}: its weights are not those '{bundle.root}' was made from"
            f" ({bundle.manifest.source.name}); give that model, or export this one"
        )
    return opened
