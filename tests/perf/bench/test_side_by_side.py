"""All contenders over all shapes; one that fails or answers something else is known."""

import numpy as np
import pytest

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import RuntimeAbortedError
from rnn_deploy.perf.bench import side_by_side as module
from rnn_deploy.perf.bench.contender import Contender
from rnn_deploy.perf.bench.side_by_side import difference, side_by_side
from rnn_deploy.perf.bench.worker import ContenderServer
from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.spec.shapes import Shape

ENTRY = EntryPoint(
    "sequence",
    (TensorSpec("x", ("batch", "time", 3), "float32"),),
    (TensorSpec("y", ("batch", 2), "float32"),),
)
SHAPES = (Shape(2, 5),)


class FakeProcess:
    """Answers x + its shift; takes as many microseconds as its contender's path says."""

    def __init__(self, server, *, time_limit):
        assert server is ContenderServer

    def ask(self, method, *arguments):
        return getattr(self, f"_{method}")(*arguments)

    def _load(self, contender):
        self.name, self.us = contender.name, int(contender.path)
        if self.name == "not loaded":
            raise RuntimeAbortedError("E-RUNTIME-FAILED", "it does not load")

    def _first(self, feeds):
        return 3_000_000, [feeds["x"] + (0.5 if self.name == "wrong" else 0)]

    def _calls(self, count):
        if self.name == "dies":
            raise RuntimeAbortedError("E-RUNTIME-CRASHED", "ended with SIGSEGV")
        return [self.us * 1000] * count

    def _peak_bytes(self):
        return self.us

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(module, "WorkerProcess", FakeProcess)

    def run(*contenders, shapes=SHAPES):
        found = [Contender(name, "onnx", str(us), only=only) for name, us, only in contenders]
        return side_by_side(found, shapes, ENTRY, seconds=0)

    return run


def test_figures_belong_to_their_contender_and_shape(run):
    shapes = (Shape(1, 1), Shape(4, 9))
    results = run(("a", 100, None), ("b", 50, Shape(4, 9)), shapes=shapes)
    assert [(str(r.shape), r.contender, r.timing.median_us) for r in results] == [
        ("1x1", "a", 100),
        ("4x9", "a", 100),
        ("4x9", "b", 50),
    ]
    last = results[-1]
    assert (last.first_ms, last.peak_bytes, last.per_second) == (3, 50, 8e4)
    assert last.startup_ms > 0


def test_the_limit_is_measured_beside_them_where_layers_are_known(monkeypatch):
    monkeypatch.setattr(module, "WorkerProcess", FakeProcess)
    contender = Contender("a", "onnx", "100")
    layers = [LoweringChoice("rnn", "gru", 4, "native", "")]
    (known,) = side_by_side([contender], SHAPES, ENTRY, seconds=0, layers=layers)
    (unknown,) = side_by_side([contender], SHAPES, ENTRY, seconds=0)
    assert 0 < known.of_limit < 10
    assert unknown.of_limit is None
    assert (known.contender, known.difference) == ("a", None)


def test_who_answers_something_else_is_apart(run):
    a, wrong, same = run(("a", 1, None), ("wrong", 1, None), ("same", 1, None))
    assert (a.difference, wrong.difference, same.difference) == (None, pytest.approx(0.5), 0)


@pytest.mark.parametrize(
    ("name", "why"), [("not loaded", "it does not load"), ("dies", "ended with SIGSEGV")]
)
def test_one_that_fails_has_its_reason_and_the_rest_go_on(run, name, why):
    failed, other = run((name, 1, None), ("other", 2, None))
    assert why in failed.failure
    assert failed.timing is None
    assert (other.timing.median_us, other.difference) == (2, None)


@pytest.mark.parametrize(
    ("found", "apart"),
    [
        ([0.0, np.nan, np.inf], 0),
        ([0.25, np.nan, np.inf], 0.25),
        ([np.nan, np.nan, np.inf], np.inf),
        ([0.0, 0.0, np.inf], np.inf),
        ([0.0, np.nan, -np.inf], np.inf),
        ([0.0, np.nan], np.inf),
    ],
)
def test_nan_infinities_and_shapes_must_be_the_same(found, apart):
    expected = np.array([0.0, np.nan, np.inf], np.float32)
    assert difference([expected], [np.array(found, np.float32)]) == apart
