"""The runtimes of this machine, each in a process of its own that stays for all models; a maker."""

import pytest

from rnn_deploy.conformance.checking import Maker
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import RUNTIMES


@pytest.fixture(scope="session")
def runtimes():
    """All that are here."""
    with staying([r for r in RUNTIMES.values() if r.why_unavailable() is None]) as runtimes:
        yield runtimes


@pytest.fixture(scope="session")
def maker():
    """Exports cases; the forms of one, which come one after the other, share what was read."""
    return Maker()
