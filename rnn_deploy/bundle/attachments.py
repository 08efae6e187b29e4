"""Data of a model besides its weights: class names, feature names, and preprocessing of inputs.

    attachments.json   labels     {output: [class names]}
                       features   {input: [feature names]}
                       steps      {input: [steps that convert the user's data to the input]}

A step is plain data, applied by `inference/preprocessing.py`. Kinds:

    text       tokens from text: standardize, split, ngrams, length, vocabulary
    tokenizer  the same for files of Keras' old Tokenizer
    strings    ids from words: vocabulary, mask, unknown
    integers   ids from whole numbers: the same
    scaler     (x - offset) * factor along the last axis, in float64
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rnn_deploy.bundle.manifest import Extension, Manifest
from rnn_deploy.bundle.store import Bundle, record_of
from rnn_deploy.errors import BundleError

FILE = "attachments.json"
EXTENSION = "attachments"
KINDS = ("text", "tokenizer", "strings", "integers", "scaler")
# Without these steps, inputs look right and give wrong results, so a reader must know them.
_REQUIRED = {"integers", "scaler"}


@dataclass(frozen=True)
class Attachments:
    """Labels by output, feature names and steps by input."""

    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    features: Mapping[str, Sequence[str]] = field(default_factory=dict)
    steps: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.labels or self.features or self.steps)


def write_attachments(attachments: Attachments, manifest: Manifest, root: Path) -> Manifest:
    """Write the file into a bundle's folder; return the manifest that lists it."""
    if not attachments:
        return manifest
    facts = {name: getattr(attachments, name) for name in ("labels", "features", "steps")}
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    (root / FILE).write_text(text, encoding="utf-8")
    kinds = {step["kind"] for steps in attachments.steps.values() for step in steps}
    extension = Extension({"path": FILE}, required=bool(kinds & _REQUIRED))
    return replace(
        manifest,
        files=(*manifest.files, record_of(root, FILE)),
        extensions={**manifest.extensions, EXTENSION: extension},
    )


def attachments_of(bundle: Bundle) -> Attachments:
    """Return the attachments of a bundle; raise BundleError if damaged or if a step is unknown."""
    extension = bundle.manifest.extensions.get(EXTENSION)
    if extension is None:
        return Attachments()
    place = bundle.checked(extension.data["path"])
    try:
        facts = json.loads(place.read_text(encoding="utf-8"))
        found = Attachments(facts["labels"], facts["features"], facts["steps"])
        kinds = {step["kind"] for steps in found.steps.values() for step in steps}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            "E-BUNDLE-DAMAGED", f"{place}: is damaged ({error}); export the model again"
        ) from error
    unknown = kinds - set(KINDS)
    if unknown:
        raise BundleError(
            "E-BUNDLE-EXTENSION",
            f"{place}: has the step '{min(unknown)}', which this rnn-deploy does not know; install"
            " the version that wrote the bundle, or a newer one",
        )
    return found
