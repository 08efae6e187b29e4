"""Remove preprocessing layers from the start of a model, and store them as plain data.

    Input (text) -> TextVectorization -> Embedding -> ...
    becomes    Input (ids) -> Embedding -> ...    and steps for the input (bundle/attachments.py)

Not every runtime has the operators for ONNX and TFLite lookups. Normalization is arithmetic, which
every format can compute, so it stays in the model.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras import access
from rnn_deploy.keras.keras2.package import is_keras2
from rnn_deploy.keras.opening import OpenedModel, OpenedSavedModel
from rnn_deploy.keras.tensorflow import keras

Steps = dict[str, list[dict[str, Any]]]


def without_preprocessing(
    opened: OpenedModel | OpenedSavedModel,
) -> tuple[OpenedModel | OpenedSavedModel, Steps]:
    """Return the model without its first preprocessing layers, and their steps by input.

    Raises UnsupportedModelError for a layer whose settings cannot be stored as data.
    """
    if isinstance(opened, OpenedSavedModel) or is_keras2(opened.model):
        return opened, {}
    functional = access.functional_of(opened.model)
    if functional is None:
        return opened, {}
    tensors, steps = [], {}
    for tensor in opened.model.inputs:
        name = access.layer_that_made(tensor).name
        behind, found = _behind(functional, tensor)
        tensors.append((name, behind))
        if found:
            steps[name] = found
    if not steps:
        return opened, {}
    cut = keras.Model(
        [tensor for _, tensor in tensors],  # a flat list: dict keys would have to be tensor names
        access.output_structure(functional),
        name=opened.model.name,
    )
    for (name, _), tensor in zip(tensors, cut.inputs, strict=True):
        access.layer_that_made(tensor).name = name
        tensor.name = name
    note = f"input {', '.join(map(repr, steps))}: preprocessing layers are stored as data"
    return replace(opened, model=cut, notes=(*opened.notes, note)), steps


def _behind(functional: Any, tensor: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Return the tensor after the preprocessing layers of an input, and their steps."""
    steps: list[dict[str, Any]] = []
    while True:
        readers = [
            node
            for node in access.nodes_in_order(functional)
            if any(each is tensor for each in node.input_tensors)
        ]
        if len(readers) != 1 or not access.is_a(readers[0].operation, *_KINDS):
            return tensor, steps
        layer = readers[0].operation
        kind = next(kind for kind in _KINDS if access.is_a(layer, kind))
        steps.append(_KINDS[kind](layer, layer.get_config()))
        (tensor,) = readers[0].output_tensors


def _text(layer: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_unless(layer, config["output_mode"] == "int", f"output_mode '{config['output_mode']}'")
    for setting in ("standardize", "split"):
        value = config[setting]
        _refuse_unless(layer, value is None or isinstance(value, str), f"{setting} by own code")
    _refuse_unless(layer, not config["ragged"], "ragged output")
    _refuse_unless(layer, config["encoding"] == "utf-8", f"the encoding {config['encoding']}")
    ngrams = config["ngrams"]
    _refuse_unless(
        layer, config["split"] is not None or ngrams is None, "ngrams of text that is not split"
    )
    return {
        "kind": "text",
        "standardize": config["standardize"],
        "split": config["split"],
        "ngrams": list(range(1, ngrams + 1))
        if isinstance(ngrams, int)
        else ngrams and list(ngrams),
        "length": config["output_sequence_length"],
        "pad": True,
        "vocabulary": _vocabulary(layer),
        "special": ["", "[UNK]"],
        "mask": "",
        "unknown": 1,
    }


def _lookup(kind: str) -> Callable[[Any, Mapping[str, Any]], dict[str, Any]]:
    def step(layer: Any, config: Mapping[str, Any]) -> dict[str, Any]:
        mode, unknown = config["output_mode"], config["num_oov_indices"]
        _refuse_unless(layer, mode == "int", f"output_mode '{mode}'")
        _refuse_unless(layer, not config["invert"], "invert=True")
        _refuse_unless(layer, unknown <= 1, f"{unknown} indices for unknown values, by a hash")
        mask = config["mask_token"]
        masked = mask is not None
        special = [mask] * masked + [config["oov_token"]] * unknown
        return {
            "kind": kind,
            "vocabulary": _vocabulary(layer),
            "special": [_plain(value) for value in special],
            "mask": _plain(mask) if masked else None,
            "unknown": int(masked) if unknown else -1,
        }

    return step


_KINDS: dict[str, Callable[[Any, Mapping[str, Any]], dict[str, Any]]] = {
    "TextVectorization": _text,
    "StringLookup": _lookup("strings"),
    "IntegerLookup": _lookup("integers"),
}


def _vocabulary(layer: Any) -> list[Any]:
    values = [_plain(value) for value in layer.get_vocabulary()]
    _refuse_unless(layer, len(values) > 0, "an empty vocabulary (call adapt first)")
    return values


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _refuse_unless(layer: Any, fits: bool, setting: str) -> None:
    if not fits:
        raise UnsupportedModelError(
            "E-MODEL-PREPROCESSING",
            f"layer '{layer.name}' ({type(layer).__name__}) has {setting}, which cannot be stored"
            " as data; export the model that starts behind the layer, and apply the layer yourself",
        )
