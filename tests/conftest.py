"""Shared models and bundles, each built once per session.

Weights are random and not symmetric, biases not zero, so that a swapped, transposed or
forgotten weight cannot pass.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# The suite runs in as many processes as there are cores; more threads only get in each other's way.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import atexit
import gc
import shutil
import signal
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

if "RNN_DEPLOY_CACHE" not in os.environ:  # compiled models stay out of the user's own cache
    os.environ["RNN_DEPLOY_CACHE"] = tempfile.mkdtemp(prefix="rnn-deploy-tests-")
    atexit.register(shutil.rmtree, os.environ["RNN_DEPLOY_CACHE"], ignore_errors=True)

from tests.support.models import LONG, small_model, token_model
from tests.support.shares import digest_of, share_of

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell that starts the tests in the background lets their processes ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Keep the garbage collector from walking TensorFlow's modules again and again.

    What was imported stays; a tenth of an export was spent on looking it through.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)  # in place of 700: a model that is traced makes a million objects


def pytest_collection_modifyitems(config, items):
    """Leave out what is not in this run's share of a large suite, unless all are wanted."""
    if config.option.all or any("::" in argument for argument in config.args):
        return
    suites = {}
    for item in items:
        if mark := item.get_closest_marker("shared_out"):
            suites.setdefault((item.function, *mark.args), []).append(item.nodeid)
    digest = digest_of()
    taken = {n for (_, shares), names in suites.items() for n in share_of(names, shares, digest)}
    left_out = {name for names in suites.values() for name in names} - taken
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run all tests of the large suites")
    parser.addoption("--slowest", action="store_true", help="show the ten slowest test files")


def pytest_terminal_summary(terminalreporter):
    """Show the test files that took longest, setup and teardown included, if asked."""
    if not terminalreporter.config.option.slowest:
        return
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    terminalreporter.section("slowest test files")
    for file, total in seconds.most_common(10):
        terminalreporter.line(f"{total:7.1f} s  {file}")


@pytest.fixture(scope="session")
def small_keras(tmp_path_factory):
    """The small model, saved: the path of a .keras file."""
    place = tmp_path_factory.mktemp("models") / "small.keras"
    small_model().save(place)
    return place


@pytest.fixture(scope="session")
def _small_bundle(tmp_path_factory, small_keras):
    return _export(small_keras, tmp_path_factory.mktemp("bundles") / "small")


@pytest.fixture(scope="session")
def _token_bundle(tmp_path_factory):
    return _export(token_model(), tmp_path_factory.mktemp("bundles") / "tokens")


@pytest.fixture(scope="session")
def translator_model():
    """A masked LSTM encoder-decoder with attention (tests.support.translators); only to be read."""
    from tests.support.translators import translator

    return translator()


@pytest.fixture(scope="session")
def translator_bundle(tmp_path_factory, translator_model):
    """An opened bundle of that model, ONNX and TFLite; only to be read."""
    from rnn_deploy import export

    return export(translator_model, tmp_path_factory.mktemp("bundles") / "translator", long=0)


def _export(model, place):
    from rnn_deploy import export

    return export(model, place, long=LONG).root


def _copy(root: Path, to: Path) -> Path:
    return Path(shutil.copytree(root, to))


@pytest.fixture
def small_bundle(_small_bundle, tmp_path):
    """A bundle of the small model, ONNX and TFLite, the test's own copy: its folder."""
    return _copy(_small_bundle, tmp_path / "small")


@pytest.fixture
def token_bundle(_token_bundle, tmp_path):
    """A bundle of the token model, ONNX and TFLite, the test's own copy: its folder."""
    return _copy(_token_bundle, tmp_path / "tokens")


@pytest.fixture
def x():
    """An input of the small model: (2, 6, 3) float32."""
    return np.random.default_rng(1).standard_normal((2, 6, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def runtimes():
    """All runtimes that are here, each in a process of its own that stays for all models."""
    from rnn_deploy.runtimes.isolation import staying
    from tests.support.runtimes import available

    with staying(available()) as runtimes:
        yield runtimes
