"""The batch of an export: as in the model, as --batch sets it, or as a format needs it.

A model does not need a size that it only remembers from its first call, so that size is opened.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.formats.options import OPEN, ExportOptions
from rnn_deploy.keras import access
from rnn_deploy.keras.intercept import holds_state
from rnn_deploy.keras.signature import BATCH, Signature, is_functional
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.spec import Dim, TensorSpec


def remembers_sizes(model: Any) -> bool:
    """Return whether a model's sizes come from its first call and are not declared."""
    return not is_functional(model) or access.remembered_batch(model) is not None


def with_sizes(
    model: Any, signature: Signature, options: ExportOptions
) -> tuple[Signature, tuple[str, ...]]:
    """Return the signature with the batch that the options and formats need, and notes."""
    wanted, only = options.batch, options.constraints.batch
    if wanted is not None:
        _refuse_held_states(model, options)
        return _with_batch(signature, BATCH if wanted == OPEN else int(wanted)), ()
    if only is not None:
        opened = any(isinstance(tensor.shape[0], str) for tensor in signature.inputs)
        return (_with_batch(signature, only, open_only=True) if opened else signature), ()
    remembered = access.remembered_batch(model)
    if remembered is None:
        return signature, ()
    return signature, (
        f"the batch of {remembered} of the model's first call is left open;"
        f" --batch {remembered} fixes it",
    )


def _with_batch(signature: Signature, size: Dim, *, open_only: bool = False) -> Signature:
    def sized(tensor: TensorSpec) -> TensorSpec:
        if not tensor.shape or (open_only and isinstance(tensor.shape[0], int)):
            return tensor
        return replace(tensor, shape=(size, *tensor.shape[1:]))

    return replace(signature, inputs=tuple(map(sized, signature.inputs)))


def _refuse_held_states(model: Any, options: ExportOptions) -> None:
    """Raise InputError if the states to store in the file have another batch."""
    if options.state != "keep":
        return
    stateful = (x for x in access.layers_in(model) if holds_state(x))
    rows = {np.shape(state)[0] for x in stateful for state in keras.tree.flatten(x.states)}
    if rows - {options.batch}:
        found = ", ".join(map(str, sorted(rows)))
        raise InputError(
            "E-EXPORT-BATCH-KEEP",
            f"--batch {options.batch}: the states that --state keep writes are those of {found}"
            " sequences; remove --batch, or --state keep",
        )
