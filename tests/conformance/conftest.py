"""The runtimes of this machine, each in a process of its own that stays for all models."""

import pytest

from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import RUNTIMES


@pytest.fixture(scope="session")
def runtimes():
    """All that are here."""
    with staying([r for r in RUNTIMES.values() if r.why_unavailable() is None]) as runtimes:
        yield runtimes
