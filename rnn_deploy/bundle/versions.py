"""Read manifests of older schema versions: each step converts one version to the next.

Write the step when you raise SCHEMA_VERSION, and keep a manifest of the old version as test data
(tests/bundle/data). A bundle that was deployed once stays readable.
"""

from collections.abc import Callable
from typing import Any

from rnn_deploy.errors import BundleError
from rnn_deploy.optional import installed_version

SCHEMA_VERSION = 3


def refuse_other_versions(schema: int, data: dict[str, Any], where: str) -> None:
    """Raise BundleError for a schema version that is newer than ours, or older than the oldest."""
    tools = data.get("tools")
    writer = tools.get("rnn-deploy", "?") if isinstance(tools, dict) else "?"
    if schema > SCHEMA_VERSION:
        raise BundleError(
            "E-BUNDLE-NEWER",
            f"{where}: was written by rnn-deploy {writer} (schema version {schema}); this is"
            f" {installed_version('rnn-deploy')}, which reads versions up to {SCHEMA_VERSION}:"
            " upgrade rnn-deploy",
        )
    if schema < min(STEPS):
        raise BundleError(
            "E-BUNDLE-TOO-OLD",
            f"{where}: has schema version {schema}, written by rnn-deploy {writer}; versions"
            f" {min(STEPS)} to {SCHEMA_VERSION} can be read: export the model again",
        )


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest `data` of an older schema version in the current form."""
    while data["schema_version"] < SCHEMA_VERSION:
        data = STEPS[data["schema_version"]](data)
    return data


def _from_2(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 adds extensions, and details of artifacts; `micro` becomes a detail."""
    details = {m["entry"]: {k: m[k] for k in m if k != "entry"} for m in data["micro"]}
    artifacts = [a | {"details": details.get(a["entry"], {})} for a in data["artifacts"]]
    kept = {key: value for key, value in data.items() if key != "micro"}
    return kept | {"artifacts": artifacts, "extensions": {}, "schema_version": 3}


STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {2: _from_2}
