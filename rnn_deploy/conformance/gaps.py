"""What is known not to work, each with its reason; a gap that closes is a failure until it goes.

NumPy-only: the suite is also run where there is no TensorFlow.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class KnownGap:
    """Cases (a pattern) that a runtime does not get right in a form (a pattern), and why."""

    case: str
    form: str
    runtime: str
    reason: str


_THREE = "its recurrent operators know no activations but tanh, sigmoid and relu"
_LENGTHS = "it lets sequence_lens be where shapes are open, which LSTM's c under a mask needs"

# OpenVINO gets all of these right as they are exported with --profile openvino.
GAPS: tuple[KnownGap, ...] = (
    *(
        KnownGap(f"activation-{name}", "auto", "openvino-cpu", _THREE)
        for name in ("linear", "hard_sigmoid", "softsign", "softplus", "elu", "leaky_relu", "celu")
    ),
    KnownGap("activation-LeakyReLU-0.2", "auto", "openvino-cpu", _THREE),
    KnownGap("GRU-hard-gates", "auto", "openvino-cpu", _THREE),
    KnownGap("LSTM-hard-gates", "auto", "openvino-cpu", _THREE),
    KnownGap("LSTM-leaky", "auto", "openvino-cpu", _THREE),
    KnownGap("masked-LSTM-*", "auto", "openvino-cpu", _LENGTHS),
    KnownGap("masked-tokens", "auto", "openvino-cpu", _LENGTHS),
    KnownGap("masked-stacked", "auto", "openvino-cpu", _LENGTHS),
    KnownGap("masked-bidirectional-*", "auto", "openvino-cpu", _LENGTHS),
    KnownGap("masked-cells*", "auto", "openvino-cpu", _LENGTHS),
    KnownGap("float64*", "*", "openvino-cpu", "it computes float64 in float32"),
)


def gap_of(case: str, form: str, runtime: str) -> KnownGap | None:
    """The gap that a combination falls into, if one."""
    for gap in GAPS:
        if gap.runtime == runtime and fnmatchcase(case, gap.case) and fnmatchcase(form, gap.form):
            return gap
    return None
