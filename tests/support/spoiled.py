"""Bundles with a file that was changed, and a runtime that is wrong in one place."""

import shutil
from dataclasses import replace

import numpy as np

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import record_of
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import runtime_named


def spoiled(bundle, unit=2):
    """ONNX Runtime, with one unit of the second layer's state a little off."""
    loaded = {}

    def answer(entry, feeds):
        if entry.name not in loaded:
            options = RunOptions(entry=entry.name)
            loaded[entry.name] = runtime_named("ort-cpu").load(bundle, options)
        results = loaded[entry.name].run(feeds)
        if "second_h_out" in results:
            results["second_h_out"][:, unit] += np.float32(1e-3)
        return results

    return FakeRuntime(answer, name="spoiled")


def wrong_from(rows, bundle):
    """ONNX Runtime, wrong in batches of this many rows and more."""
    loaded = {}

    def answer(entry, feeds):
        if entry.name not in loaded:
            options = RunOptions(entry=entry.name)
            loaded[entry.name] = runtime_named("ort-cpu").load(bundle, options)
        results = loaded[entry.name].run(feeds)
        if len(feeds["x"]) >= rows:
            results = {name: value + np.float32(1e-3) for name, value in results.items()}
        return results

    return FakeRuntime(answer)


def with_file(bundle, place, path, content):
    """A bundle with another file, its record in the manifest made to match."""
    root = shutil.copytree(bundle.root, place)
    (root / path).write_bytes(content)
    files = tuple(record_of(root, record.path) for record in bundle.manifest.files)
    manifest = replace(bundle.manifest, files=files)
    (root / "manifest.json").write_text(json_from_manifest(manifest))
    return open_bundle(root)
