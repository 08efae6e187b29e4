"""The Keras model from which a bundle was made; every peer starts from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.keras.opening import OpenedModel, open_model
from rnn_deploy.keras.preprocessing import without_preprocessing
from rnn_deploy.keras.signature import call_flat, signature_of
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.spec import SEQUENCE, TensorSpec
from rnn_deploy.spec.opening import Opening
from rnn_deploy.spec.shapes import Shape


@dataclass(frozen=True)
class PeerModel:
    """A Keras model with the inputs of its bundle.

    time: the number of steps if the bundle fixes it and the model does not.
    """

    model: Any
    inputs: tuple[TensorSpec, ...]
    time: int | None = None

    def function(self, shape: Shape | None = None) -> Any:
        """Return a `tf.function` from the inputs to the outputs, both in order.

        shape: fixes batch and time.
        """

        def run(*tensors: Any) -> Any:
            return call_flat(self.model, tensors)

        return tf.function(run, input_signature=self.signature(shape), autograph=False)

    def signature(self, shape: Shape | None = None) -> list[Any]:
        """Return the specs of the function's inputs."""
        return [
            tf.TensorSpec(_sizes(tensor, shape), tensor.dtype, name=tensor.name)
            for tensor in self.inputs
        ]


def model_of(bundle: Bundle, place: Path, opening: Opening = Opening()) -> PeerModel:  # noqa: B008
    """Open the model of a bundle; raise InputError if it is another model, or lacks the states."""
    opened, _ = without_preprocessing(open_model(place, **vars(opening)))
    if not isinstance(opened, OpenedModel):
        raise UnsupportedModelError(
            "E-BENCH-SAVED-MODEL",
            f"{place}: the layers of this SavedModel cannot be read, and peers are made of them;"
            " give the .keras or .h5 file of the model",
        )
    if opened.source.digest != bundle.manifest.source.digest:
        raise InputError(
            "E-VERIFY-OTHER-MODEL",
            f"{place}: has other weights than the model that {bundle.root} was made from"
            f" ({bundle.manifest.source.name}); give that model, or export this one",
        )
    if bundle.manifest.state == "keep":
        raise InputError(
            "E-BENCH-KEPT-STATE",
            f"{bundle.root} starts from the states of its live model (--state keep), and {place}"
            " has no states, so its outputs would differ; export without --state",
        )
    inputs = bundle.manifest.entry(SEQUENCE).inputs
    own = signature_of(opened.model).inputs
    fixed = [ours.shape[1] for ours, theirs in zip(inputs, own, strict=True)
             if len(theirs.shape) > 1 and isinstance(theirs.shape[1], str)]  # fmt: skip
    time = next((dim for dim in fixed if isinstance(dim, int)), None)
    model = PeerModel(opened.model, inputs, time)
    model.function().get_concrete_function()  # some peers need a model that has been called
    return model


def _sizes(tensor: TensorSpec, shape: Shape | None) -> list[int | None]:
    fixed = (None, None) if shape is None else (shape.batch, shape.time)
    return [
        dim if isinstance(dim, int) else (fixed[axis] if axis < 2 else None)
        for axis, dim in enumerate(tensor.shape)
    ]
