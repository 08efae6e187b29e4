"""The fixture `assert_same`; pytest finds it if rnn-deploy is installed.

Nothing of rnn-deploy is imported until a test uses it.
"""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def assert_same() -> Callable[..., Any]:
    """Return `rnn_deploy.testing.assert_same`, which compares runtimes with golden vectors."""
    from rnn_deploy.testing import assert_same

    return assert_same
