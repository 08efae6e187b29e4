"""The Keras model that a bundle was made from, at hand to recompute, localise and explain with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rnn_deploy.bundle import Bundle, Case
from rnn_deploy.errors import InputError
from rnn_deploy.spec import STREAM, Array
from rnn_deploy.verifying.explain import Watched
from rnn_deploy.verifying.parts import Run

if TYPE_CHECKING:
    from rnn_deploy.source.layer_outputs import LayerOutputs
    from rnn_deploy.source.reference import Reference


@dataclass(frozen=True)
class AtHand:
    """A model that is at hand.

    cases: new golden cases of every kind. oracle: the model in float64. watched: its recurrent
    calls. layers: every layer's output in float64 and in TensorFlow's float32, in the order of the
    calls.
    """

    cases: Sequence[Case]
    oracle: Run
    watched: Watched
    layers: Callable[[Mapping[str, Array]], list[tuple[str, Array, Array]]]


def model_at_hand(
    bundle: Bundle, model: Path, seed: int, trust_source: bool, step: Callable[[str], None]
) -> AtHand:
    """Open the model of a bundle; InputError when it is another one."""
    step("recomputing the reference with TensorFlow")
    from rnn_deploy.exporting.cases import reference_cases, special_of
    from rnn_deploy.exporting.options import MICRO, ExportOptions
    from rnn_deploy.exporting.plan import plan_of, with_chunks
    from rnn_deploy.lowering.targets import ORT
    from rnn_deploy.source.intercept import keeping_states
    from rnn_deploy.source.layer_outputs import LayerOutputs

    opened = _opened(bundle, model, trust_source)
    _refuse_int8(bundle)
    fixed = {t.shape[1] for t in bundle.manifest.entry("sequence").inputs if len(t.shape) > 1}
    (time,) = fixed if len(fixed) == 1 else (None,)
    state = bundle.manifest.state
    options = ExportOptions(
        time=time if isinstance(time, int) else None,
        seed=seed,
        state=state,
        target=MICRO if bundle.manifest.micro else ORT,
    )
    chunked = [entry.chunked for entry in bundle.manifest.entries if entry.name == STREAM]
    with keeping_states(state == "keep"):
        plan = plan_of(opened.model, options)
        cases, references = reference_cases(opened.model, plan, options)
        plan = with_chunks(plan, *chunked) if chunked else plan
        cases += special_of(plan, references, cases, options)
        oracle = cast("Reference", references.oracle)
        both = LayerOutputs(oracle), LayerOutputs(cast("Reference", references.reference))
        layers = partial(_side_by_side, both)
        return AtHand(cases, oracle.run, oracle.layer_runs, layers)


def _side_by_side(both: "tuple[LayerOutputs, LayerOutputs]", feeds: Mapping[str, Array]) -> Any:
    true, ours = (outputs.run(feeds) for outputs in both)
    return [(name, a, b) for (name, a), (_, b) in zip(true, ours, strict=True)]


def _refuse_int8(bundle: Bundle) -> None:
    quantisation = bundle.manifest.quantisation
    if quantisation is not None and quantisation.mode == "int8":
        raise InputError(
            "--against makes up inputs, and int8 is right only within the ranges of those it was"
            " calibrated on; verify without it, on the bundle's own golden vectors"
        )


def _opened(bundle: Bundle, model: Path, trust_source: bool) -> Any:
    from rnn_deploy.source.opening import OpenedSavedModel, open_model

    opened = open_model(model, trust_source=trust_source)
    if isinstance(opened, OpenedSavedModel):
        raise InputError(f"{model}: give the .keras or .h5 file, not a SavedModel")
    if opened.source.digest != bundle.manifest.source.digest:
        raise InputError(
            f"{model}: its weights are not those '{bundle.root}' was made from"
            f" ({bundle.manifest.source.name}); give that model, or export this one"
        )
    return opened
