"""The bundle: a folder with model files, manifest and golden vectors.

It is the only contract between the Keras side and the run side.

    manifest      the contents of the bundle, as frozen values, to and from JSON
    versions      reads manifests of older schema versions
    store         writes the folder whole or not at all; checks every file by its SHA-256
    plan          which artifact is fastest at which shape, as `tune` measured it
    golden        seeded inputs with the reference's and the oracle's outputs and states
    weights       the weights inside model files, and their digests in the manifest
    proof         how far the references are from each other
    state_files   writes and checks files with the states of a stream
"""

from rnn_deploy.bundle.golden import GoldenCase, cases_of, read_cases, write_cases
from rnn_deploy.bundle.manifest import (
    Artifact,
    Extension,
    FileRecord,
    LoweringChoice,
    Manifest,
    ModelSource,
)
from rnn_deploy.bundle.store import Bundle, open_bundle, writing_bundle

__all__ = [
    "Artifact",
    "Bundle",
    "Extension",
    "FileRecord",
    "GoldenCase",
    "LoweringChoice",
    "Manifest",
    "ModelSource",
    "cases_of",
    "open_bundle",
    "read_cases",
    "write_cases",
    "writing_bundle",
]
