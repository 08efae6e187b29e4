"""The known gaps, with reasons. A gap that works is a failure until it is removed.

Needs no TensorFlow, since a saved suite runs without it.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class KnownGap:
    """Cases that a runtime computes wrongly in a form, with the reason. case, form: patterns."""

    case: str
    form: str
    runtime: str
    reason: str


_THREE = "its recurrent operators support only the activations tanh, sigmoid and relu"
_LENGTHS = "it ignores sequence_lens if shapes are open, and LSTM's c under a mask needs it"

# OpenVINO computes all of these correctly if they are exported with --profile openvino.
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
    """Return the gap for a combination, or None."""
    for gap in GAPS:
        if gap.runtime == runtime and fnmatchcase(case, gap.case) and fnmatchcase(form, gap.form):
            return gap
    return None
