"""How a quantised artifact is judged: by budgets of its own, on inputs it is meant for.

    budget = max(float32's budget, MARGIN * (the largest error measured on export))

Another machine rounds an activation to the other neighbour now and then, and other inputs meet
other values, so the largest error elsewhere lies near the one measured: at most 1.9 times it over
five more sets of golden vectors of six models composed at random. An output or a state that kept
less than FLOOR of signal over noise was destroyed, not quantised; its budget is float32's.

No quantised arithmetic passes NaN on, or keeps what lies far outside the usual, so the check
`extremes` is left out; so is `running-bound`, which is what float32's rounding can do. Integers
keep what lies in the range they were calibrated on: for int8 the checks whose inputs are made up
are left out too, and golden vectors are drawn from the calibration data.
"""

from collections.abc import Sequence

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.manifest import Quantisation, QuantisationError
from rnn_deploy.runtimes.base import Runtime

MARGIN = 3.0
FLOOR = 10.0  # dB
UNFIT = {
    "float16": ("extremes", "running-bound"),
    "dynamic-int8": ("extremes", "running-bound"),
    "int8": ("extremes", "running-bound", "masks", "long"),
}


def quantisation_on(bundle: Bundle, runtime: Runtime) -> Quantisation | None:
    """How what the runtime runs is quantised, None where it is in float32."""
    found = bundle.manifest.quantisation
    return found if found is not None and found.format == runtime.format else None


def noise_budgets(quantisation: Quantisation | None) -> dict[str, float]:
    """The budget of each output and state that quantisation widens; empty in float32."""
    costs = () if quantisation is None else quantisation.costs
    return {cost.tensor: MARGIN * cost.max_abs for cost in costs if not below_floor(cost)}


def fit_checks(quantisation: Quantisation | None, checks: Sequence[str]) -> tuple[str, ...]:
    """The checks among `checks` that say something of it."""
    unfit = () if quantisation is None else UNFIT[quantisation.mode]
    return tuple(check for check in checks if check not in unfit)


def below_floor(cost: QuantisationError) -> bool:
    """Whether too little is left of an output or a state."""
    return cost.snr_db is not None and cost.snr_db < FLOOR


def note_on(runtime: Runtime, quantisation: Quantisation, checks: Sequence[str]) -> str:
    """What a report says of a quantised artifact."""
    left = [check for check in checks if check in UNFIT[quantisation.mode]]
    said = (
        f"{runtime.name}: quantised to {quantisation.mode}; budgets are {MARGIN:g} times the"
        " largest errors measured on export (rnn-deploy inspect shows them)"
    )
    return f"{said}; not run: {', '.join(left)}, for which it is not made" if left else said
