"""A bundle for all tests of scoring, which only read it, and an engine without processes."""

import pytest

import rnn_deploy
from rnn_deploy.scoring.engines import registry
from tests.support.scoring import InProcess, sequences


@pytest.fixture(scope="session")
def bundle(_small_bundle):
    return _small_bundle


@pytest.fixture(scope="session")
def tokens(_token_bundle):
    return _token_bundle


@pytest.fixture(scope="session")
def rows():
    return sequences()


@pytest.fixture(scope="session")
def expected(bundle, rows):
    with rnn_deploy.load(bundle, "ort-cpu") as model:
        return model.predict(rows)


@pytest.fixture
def engine(monkeypatch):
    """The engine `local` without processes; it notes the shards that it ran."""
    engine = InProcess()
    monkeypatch.setitem(registry.ENGINES, "local", engine)
    return engine
