"""The tolerance of a quantised model file: it has its own budgets, and fewer checks apply.

    budget = max(float32's budget, MARGIN * (the largest error measured on export))

The margin is needed because other machines sometimes round an activation to the other neighbour,
and other inputs have other values. Over five more sets of golden vectors of six models composed at
random, the largest error was at most 1.9 times the measured one. An output or state with a
signal-to-noise ratio below FLOOR is useless; its budget is float32's, so that verification fails.

Quantised arithmetic neither passes on NaN nor keeps values far outside the usual range, so the
check `extremes` does not apply. `running-bound`, the bound of float32's rounding, does not apply
either. Integers represent only values in the range of the calibration data. So for
INTEGER_MODES the checks with generated inputs do not apply, and golden vectors are drawn from the
calibration data.
"""

from collections.abc import Sequence

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.manifest import Quantisation, QuantisationError
from rnn_deploy.runtimes.base import Runtime

MARGIN = 3.0
FLOOR = 10.0  # dB
INTEGER_MODES = ("int8", "int16x8")  # activations are integers: right only in calibrated ranges
SKIPPED_CHECKS = {
    "float16": ("extremes", "running-bound"),
    "dynamic-int8": ("extremes", "running-bound"),
    "int8-weights": ("extremes", "running-bound"),
    **dict.fromkeys(INTEGER_MODES, ("extremes", "running-bound", "masks", "long")),
}


def quantisation_on(bundle: Bundle, runtime: Runtime) -> Quantisation | None:
    """Return how the model file that the runtime runs is quantised; None for float32."""
    quantisation = bundle.manifest.quantisation
    fits = quantisation is not None and quantisation.format == runtime.format
    return quantisation if fits else None


def noise_budgets(quantisation: Quantisation | None) -> dict[str, float]:
    """Return the budget of each output and state that quantisation widens; empty for float32."""
    costs = () if quantisation is None else quantisation.costs
    return {cost.tensor: MARGIN * cost.max_abs for cost in costs if not below_floor(cost)}


def checks_for(quantisation: Quantisation | None, checks: Sequence[str]) -> tuple[str, ...]:
    """Return those of `checks` that apply to a file with this quantisation."""
    skipped = () if quantisation is None else SKIPPED_CHECKS[quantisation.mode]
    return tuple(check for check in checks if check not in skipped)


def below_floor(cost: QuantisationError) -> bool:
    """Return whether the signal-to-noise ratio of an output or a state is below FLOOR."""
    return cost.snr_db is not None and cost.snr_db < FLOOR


def quantisation_note(runtime: Runtime, quantisation: Quantisation, checks: Sequence[str]) -> str:
    """Return the note of a report about a quantised model file."""
    skipped = [check for check in checks if check in SKIPPED_CHECKS[quantisation.mode]]
    note = (
        f"{runtime.name}: quantised to {quantisation.mode}; budgets are {MARGIN:g} times the"
        " largest errors measured on export (rnn-deploy inspect shows them)"
    )
    return f"{note}; checks not run: {', '.join(skipped)}" if skipped else note
