"""Find layers whose output at a step depends on other steps, besides the state of a recurrence."""

from typing import Any

from rnn_deploy.keras.access import is_a, layers_in

_KINDS = (
    *("Bidirectional", "Flatten", "Permute", "Attention", "AdditiveAttention"),
    *("MultiHeadAttention", "GroupQueryAttention", "RepeatVector"),
    *("UpSampling1D", "ZeroPadding1D", "Cropping1D", "AveragePooling1D", "MaxPooling1D"),
    *("GlobalAveragePooling1D", "GlobalMaxPooling1D"),
)
_CONVOLUTIONS = ("Conv1D", "Conv1DTranspose", "SeparableConv1D", "DepthwiseConv1D")


def looking_along_time(model: Any) -> list[str]:
    """Return the layers of a model that are known to look along time, as "'name' (class)"."""
    return [
        f"'{layer.name}' ({type(layer).__name__})"
        for layer in layers_in(model, include_self=False)
        if _looks(layer)
    ]


def _looks(layer: Any) -> bool:
    if is_a(layer, "RNN"):
        return bool(layer.go_backwards) and not layer.name.startswith("backward_")
    if is_a(layer, *_CONVOLUTIONS):
        return layer.kernel_size != (1,)
    return is_a(layer, *_KINDS)
