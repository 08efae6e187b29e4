"""The original Keras model, where it is at hand: what it says beside the golden vectors.

Verification knows it by three functions only, so that nothing here imports Keras; the command line
makes one from a .keras file (`cli/at_hand.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rnn_deploy.numerics.cells import LayerRun
from rnn_deploy.spec import Array

Feeds = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class LayerTruth:
    """One call of a Keras layer: what it gives in float64, and in TensorFlow's float32."""

    layer: str
    true: Array
    reference: Array


@dataclass(frozen=True)
class OriginalModel:
    """The model at hand, for inputs and initial states by name.

    oracle: outputs and final states in float64. watched: every recurrent call with Keras' own
    cells in float64. layers: every layer's output, in the order of the calls.
    """

    oracle: Callable[[Feeds], Mapping[str, Array]]
    watched: Callable[[Feeds], Sequence[LayerRun]]
    layers: Callable[[Feeds], Sequence[LayerTruth]]
