"""The fixture `assert_same`, which pytest finds by itself where rnn-deploy is installed.

It imports nothing of rnn-deploy until a test asks for it.
"""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def assert_same() -> Callable[..., Any]:
    """`rnn_deploy.testing.assert_same`: a bundle's runtimes against its golden vectors."""
    from rnn_deploy.testing import assert_same

    return assert_same
