"""The bundle: a folder with artifacts, manifest and golden vectors.

The only contract between the Keras side and the runtimes.

    manifest   what is in it, as frozen values, to and from JSON
    store      the folder: written whole or not at all, every file checked by its SHA-256
    plan       which artifact is fastest where, as `tune` measured it
    golden     seeded inputs with the reference's and the oracle's outputs and states
"""

from rnn_deploy.bundle.golden import GoldenCase, cases_of, read_cases, write_cases
from rnn_deploy.bundle.manifest import Artifact, FileRecord, LoweringChoice, Manifest, ModelSource
from rnn_deploy.bundle.store import Bundle, open_bundle, writing_bundle

__all__ = [
    "Artifact",
    "Bundle",
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
