"""What every packager checks before it makes anything."""

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError
from rnn_deploy.packaging.base import PackageFiles, Packager, PackagerOption
from tests.support.errors import raises

SEEN = []


def make(bundle, options):
    SEEN.append(dict(options))
    return PackageFiles({"a": b""})


def test_defaults_are_filled_in_and_unknown_options_refused(masked):
    packager = Packager("p", "help", make, options=(PackagerOption("size", "3", "A size."),))
    packager.package(masked, {})
    packager.package(masked, {"size": "4"})
    assert SEEN[-2:] == [{"size": "3"}, {"size": "4"}]
    with raises(InputError, "E-OPTION-PACKAGER", "colour", "--size"):
        packager.package(masked, {"colour": "red"})


def test_a_bundle_without_the_format_is_refused(small_bundle):
    packager = Packager("p", "help", make, format="c")
    with raises(InputError, "E-BUNDLE-NO-ARTIFACT", "--to c"):
        packager.package(open_bundle(small_bundle), {})
