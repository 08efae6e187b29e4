"""Packagers by name, those of other packages among them."""

from importlib.metadata import EntryPoint

import pytest

from rnn_deploy import plugins
from rnn_deploy.errors import InputError
from rnn_deploy.packaging import registry
from rnn_deploy.packaging.base import PackageFiles, Packager
from tests.support.errors import raises

OTHER = Packager("other", "nothing", lambda bundle, options: PackageFiles({}))


@pytest.fixture
def registered(monkeypatch):
    """Register entry points, for one test."""

    def register(*points):
        monkeypatch.setattr(plugins, "entry_points", lambda group: points)
        registry.all_packagers.cache_clear()

    yield register
    registry.all_packagers.cache_clear()


def point(name, value):
    return EntryPoint(name, value, registry.GROUP)


def test_the_built_in_ones_are_found():
    assert registry.packager_named("c").format == "c"


def test_an_unknown_name_lists_those_that_there_are():
    with raises(InputError, "E-OPTION-PACKAGER", "d", "c"):
        registry.packager_named("d")


def test_another_package_adds_one(registered):
    registered(point("other", f"{__name__}:OTHER"))
    assert registry.packager_named("other") is OTHER


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("c", f"{__name__}:OTHER"),
        ("another", f"{__name__}:OTHER"),
        ("other", f"{__name__}:point"),
        ("other", "no_such_module:PACKAGER"),
    ],
)
def test_one_that_cannot_be_used_is_named(registered, name, value):
    registered(point(name, value))
    with raises(InputError, "E-OPTION-PACKAGER-PLUGIN", name):
        registry.all_packagers()
