"""Bundles with C files, each exported once."""

import pytest

from rnn_deploy.bundle import open_bundle
from tests.support.c_bundle import c_bundle, masked_model, whole_model


@pytest.fixture(scope="session")
def masked(tmp_path_factory):
    return open_bundle(c_bundle(masked_model(), tmp_path_factory.mktemp("c") / "masked"))


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    return open_bundle(c_bundle(whole_model(), tmp_path_factory.mktemp("c") / "whole"))
