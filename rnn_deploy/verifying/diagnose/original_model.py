"""The original Keras model as functions, so that the run side does not import Keras.

The command line makes one from a model file (`cli/reference_model.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rnn_deploy.numerics.cells import LayerRun
from rnn_deploy.spec import Array

Feeds = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class LayerTruth:
    """The output of one call of a Keras layer: in float64, and in TensorFlow's float32."""

    layer: str
    true: Array
    reference: Array


@dataclass(frozen=True)
class OriginalModel:
    """Functions of the Keras model that take inputs and initial states by name.

    oracle: outputs and final states in float64. recurrent_calls: every call of a recurrent layer
    with Keras' own cells, in float64. layers: every layer's output, in the order of the calls.
    weights: every weight, by LAYER/WEIGHT.
    """

    oracle: Callable[[Feeds], Mapping[str, Array]]
    recurrent_calls: Callable[[Feeds], Sequence[LayerRun]]
    layers: Callable[[Feeds], Sequence[LayerTruth]]
    weights: Callable[[], Mapping[str, Array]] = dict
