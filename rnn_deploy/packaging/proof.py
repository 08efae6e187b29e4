"""The entry point and the error budgets with which packages check themselves."""

from dataclasses import replace

from rnn_deploy.bundle import Bundle, cases_of
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint
from rnn_deploy.verifying.judge.quantisation import noise_budgets
from rnn_deploy.verifying.judge.tolerance import Budgets, derive_budgets


def widest_entry(bundle: Bundle) -> EntryPoint:
    """Return the entry point with the states, if there is one, otherwise the sequence."""
    names = [entry.name for entry in bundle.manifest.entries]
    return bundle.manifest.entry(STREAM if STREAM in names else SEQUENCE)


def budgets_of(bundle: Bundle, format: str) -> Budgets:
    """Return the budgets that `verify` uses for the artifacts of a format."""
    manifest = bundle.manifest
    dtypes = {t.name: t.dtype for e in manifest.entries for t in e.all_outputs}
    found = derive_budgets(lambda: cases_of(bundle), dtypes)
    quantisation = manifest.quantisation
    own = quantisation if quantisation is not None and quantisation.format == format else None
    return replace(found, noise=noise_budgets(own))
