"""The vocabulary of both wings (NumPy only). The Keras side writes it, the bundle stores it, and
the runtimes read it.

types         short names for types
entry_points  inputs, outputs and states of the exported model
recurrent     recurrent layers, as read from Keras
shapes        batch x time
chunks        cut a sequence along time, join the pieces
opening       how to open a model file
"""

from rnn_deploy.spec.entry_points import (
    DECODE,
    ENCODE,
    SEQUENCE,
    STEP,
    STREAM,
    EntryPoint,
    StateSpec,
    Support,
    TensorSpec,
    one_step,
)
from rnn_deploy.spec.recurrent import (
    ROLES,
    BidirectionalLayers,
    Called,
    Recurrence,
    RecurrentLayer,
    Stack,
    TracedLayer,
    layers_of,
    roles_of,
    state_keys,
)
from rnn_deploy.spec.types import Array, Dim, Role, StateKey, Weights

__all__ = [
    "DECODE",
    "ENCODE",
    "ROLES",
    "SEQUENCE",
    "STEP",
    "STREAM",
    "Array",
    "BidirectionalLayers",
    "Called",
    "Dim",
    "EntryPoint",
    "Recurrence",
    "RecurrentLayer",
    "Role",
    "Stack",
    "StateKey",
    "StateSpec",
    "Support",
    "TensorSpec",
    "TracedLayer",
    "Weights",
    "layers_of",
    "one_step",
    "roles_of",
    "state_keys",
]
