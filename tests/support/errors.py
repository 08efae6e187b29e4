"""Match errors by their stable code and by the names they mention, never by sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rnn_deploy.errors import RnnDeployError


@contextmanager
def raises(
    kind: type[RnnDeployError], code: str, *names: str
) -> Iterator[pytest.ExceptionInfo[RnnDeployError]]:
    """Expect an error of `kind` with `code` whose message mentions every one of `names`.

    names: what a user must find in the message: tensors, layers, options, values, files.
    """
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.code == code, str(caught.value)
    for name in names:
        assert name in caught.value.message
