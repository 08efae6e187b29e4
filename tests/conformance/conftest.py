"""A maker of bundles that stays for all cases."""

import pytest

from rnn_deploy.conformance.checking import CaseExporter


@pytest.fixture(scope="session")
def maker():
    """Exports cases; the forms of one, which come one after the other, share what was read."""
    return CaseExporter()
