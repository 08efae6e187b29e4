"""Private names are in one module; a Keras that no longer calls what is replaced is noticed."""

import ast
import random
import re
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import rnn_deploy
from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.keras import compat, intercept, seams
from rnn_deploy.keras.intercept import intercepting
from rnn_deploy.keras.precision import computing_in
from rnn_deploy.keras.signature import signature_of
from rnn_deploy.keras.tracing import trace_markers
from tests.support.errors import raises
from tests.support.models import small_model

layers = keras.layers
CODE = "E-EXPORT-KERAS-VERSION"
PACKAGE = Path(rnn_deploy.__file__).parent
ROOT = PACKAGE.parent
PRIVATE_MODULES = re.compile(r"\bkeras\.src\b|\btensorflow\.(python|compiler|lite\.python)\b")
TAKES_A_NAME = {"getattr", "hasattr", "setattr", "delattr", "replaced", "__setattr__"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name.isidentifier()


def own_private_names():
    """Private names that the package itself defines."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    return set(re.findall(r"\bself\.(_\w+)\b", text)) | set(
        re.findall(r"(?:def|class) (_\w+)|^ +(_\w+):", text, re.MULTILINE)[0]
    )


def private_names_in(tree, own):
    """What a module uses of the private names of other packages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Attribute):
            text = ast.unparse(node)
            if PRIVATE_MODULES.search(text.replace(" import ", ".")):
                yield text
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls", "os"):
                yield f"{owner}.{node.attr}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in TAKES_A_NAME:
            names = (arg.value for arg in node.args if isinstance(arg, ast.Constant))
            yield from (n for n in names if isinstance(n, str) and is_private(n))


def test_only_compat_touches_a_private_name():
    own = own_private_names()
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("compat.py", "access.py") and path.parent.name != "keras2":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert list(private_names_in(tree, own)) == [], path


@pytest.mark.parametrize(
    "code",
    [
        "import keras.src.layers",
        "from keras.src import ops",
        "keras.src.backend.rnn(x)",
        "from tensorflow.python.framework import ops",
        "from tensorflow.lite.python import convert",
        "layer._keras_history",
        "[layer for layer in model._flatten_layers()]",
        "getattr(model, '_functional', None)",
        "compat.replaced(owner, '_normalize', f)",
    ],
)
def test_the_search_finds_private_names(code):
    assert list(private_names_in(ast.parse(code), own=set()))


def test_the_versions_checked_are_the_upper_bounds_and_the_ones_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for package, minor in compat.CHECKED.items():
        major, number = minor.split(".")
        bound = f"{package}>={minor},<{major}.{int(number) + 1}"
        assert bound in project["optional-dependencies"]["export"]
        assert f"\n{package}=={minor}." in constraints


@pytest.mark.parametrize("path", [*compat.REPLACED, *compat.CALLED])
def test_a_function_with_other_parameters_is_refused(path, monkeypatch):
    owner, _, name = path.rpartition(".")
    monkeypatch.setattr(compat.find(owner), name, lambda odd: None)
    with raises(RuntimeUnavailableError, CODE, path):
        compat.check_signatures(compat.REPLACED, compat.CALLED)


@pytest.mark.parametrize("path", ["keras.src.no_such.thing", "tensorflow.python.eager.nothing"])
def test_a_name_that_is_gone_is_refused(path):
    with raises(RuntimeUnavailableError, CODE, path):
        compat.find(path)


def test_a_newer_version_is_named(monkeypatch):
    found = str(compat.newer_than_checked("keras", "x"))
    assert f"({keras.__version__})" in found
    monkeypatch.setattr(compat, "version", lambda package: "3.1000.2")
    message = str(compat.newer_than_checked("keras", "x"))
    assert "is newer than the newest one that rnn_deploy was checked with (3.15)" in message
    assert "(3.1000.2)" in message
    assert "newer" not in found


def own_loop(original):
    """A layer's call that computes the same without asking RNN.call."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        return original(self, sequences, initial_state, mask, training)

    return call


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM", "ConvLSTM1D"])
def test_a_layer_that_no_longer_calls_rnn_is_noticed_before_the_first_trace(kind, monkeypatch):
    monkeypatch.setattr(getattr(layers, kind), "call", own_loop(layers.RNN.call))
    with raises(RuntimeUnavailableError, CODE, kind):
        seams.check_seams.__wrapped__()


@pytest.mark.parametrize("cell", [layers.SimpleRNNCell(2), [layers.GRUCell(2)]])
def test_rnn_itself_bypassed_is_noticed(cell, monkeypatch):
    """As if Keras called another method of RNN: also where the layer would have been missed."""
    original = layers.RNN.call
    monkeypatch.setattr(compat, "replaced", without(compat.replaced, (layers.RNN, "call")))
    x = keras.Input((None, 3))
    model = keras.Model(x, layers.RNN(cell, name="rnn")(x))
    assert layers.RNN.call is original
    with raises(RuntimeUnavailableError, CODE, "'rnn'"), intercepting(lambda call: None):
        model(np.zeros((1, 2, 3), np.float32))


def without(replaced, *names):
    """`compat.replaced` that leaves out some names."""
    from contextlib import nullcontext

    def partly(owner, name, value):
        return nullcontext() if (owner, name) in names else replaced(owner, name, value)

    return partly


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
def test_a_layer_that_computes_on_its_own_path_is_noticed_in_every_trace(kind, monkeypatch):
    seams.check_seams()  # passes once, as for a path that depends on the layer
    layer = getattr(layers, kind)
    monkeypatch.setattr(layer, "call", own_loop(layers.RNN.call))
    monkeypatch.setattr(intercept, "CALLS", [*intercept.CALLS, layer.call])  # as if Keras' own
    x = keras.Input((None, 3))
    model = keras.Model(x, layer(2, name="odd")(x))
    with raises(RuntimeUnavailableError, CODE, "'odd'", kind):
        trace_markers(model, signature_of(model))


def test_a_bidirectional_that_computes_both_halves_at_once_is_noticed(monkeypatch):
    def fused(self, sequences, initial_state):
        return tf.zeros(self.compute_output_shape(sequences.shape))

    monkeypatch.setattr(layers.Bidirectional, "_can_attempt_fused_lstm", lambda *_: True)
    monkeypatch.setattr(layers.Bidirectional, "_call_fused_lstm", fused)
    x = keras.Input((2, 3))
    model = keras.Model(x, layers.Bidirectional(layers.LSTM(2, name="half"))(x))
    with raises(RuntimeUnavailableError, CODE, "half"), intercepting(lambda call: None):
        model(np.zeros((1, 2, 3), np.float32))


def test_a_user_s_own_call_is_no_bypass():
    class Own(layers.SimpleRNN):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return sequences[:, -1]

    x = keras.Input((None, 3))
    model = keras.Model(x, Own(3)(x))
    assert trace_markers(model, signature_of(model)).layers == ()


class Elsewhere:
    """A layer's __call__ that no longer arrives at its call."""

    def __init__(self, units):
        self.units = units

    def __get__(self, layer, owner=None):
        return lambda x, **options: tf.zeros((*x.shape[:1], self.units), x.dtype)


@pytest.mark.parametrize(
    "kind", ["Bidirectional", "TimeDistributed", "Masking", "Embedding", "CategoryEncoding"]
)
def test_a_layer_s_call_that_is_no_longer_called_is_noticed(kind, monkeypatch):
    model = seams._model()
    monkeypatch.setattr(seams, "_model", lambda: model)
    monkeypatch.setattr(getattr(layers, kind), "__call__", Elsewhere(2), raising=False)
    with raises(RuntimeUnavailableError, CODE):
        seams.check_seams.__wrapped__()


@pytest.mark.parametrize(
    ("operation", "replaced"),
    [
        ("matmul", "tensordot"),
        ("argmax", "signbit"),
        ("normalize", "_normalize"),
        ("dot_product_attention", "_apply_masks"),
        ("digitize", "digitize"),
        ("one_hot", "one_hot"),
        ("softplus", "softplus"),
        ("log_sigmoid", "log_sigmoid"),
        ("isinf", "is_inf"),
    ],
)
def test_an_operation_that_no_longer_calls_what_is_replaced_is_noticed(
    operation, replaced, monkeypatch
):
    monkeypatch.setattr(keras.ops, operation, lambda x, *args, **options: x)
    with raises(RuntimeUnavailableError, CODE, replaced):
        seams.check_seams.__wrapped__()


def test_a_mask_that_no_longer_arrives_is_noticed(monkeypatch):
    monkeypatch.setattr(keras.src.backend, "get_keras_mask", lambda x: None)
    with raises(RuntimeUnavailableError, CODE, "SimpleRNN receives no mask"):
        seams.check_seams.__wrapped__()


def test_a_policy_without_effect_is_noticed(monkeypatch):
    monkeypatch.setattr(layers.Layer, "compute_dtype", property(lambda self: "float32"))
    with raises(RuntimeUnavailableError, CODE, "float64"), computing_in(small_model(), "float64"):
        pass


def test_weights_that_are_not_read_in_float64_are_noticed(monkeypatch):
    scope = compat.AutocastScope
    monkeypatch.setattr(compat, "AutocastScope", lambda dtype: scope(None))
    with raises(RuntimeUnavailableError, CODE, "float64"):
        seams.check_seams.__wrapped__()


def test_inner_models_that_round_their_inputs_are_noticed(monkeypatch):
    def rounded(self, inputs):
        return [tf.cast(x, tensor.dtype) for x, tensor in zip(inputs, self.inputs, strict=True)]

    monkeypatch.setattr(compat.Functional, "_standardize_inputs", rounded)
    with raises(RuntimeUnavailableError, CODE):
        seams.check_seams.__wrapped__()


def test_a_tf_function_that_is_called_otherwise_is_noticed(monkeypatch):
    monkeypatch.setattr(seams._Decorated, "call", lambda self, x: x)
    with raises(RuntimeUnavailableError, CODE, "Function.__call__"):
        seams.check_seams.__wrapped__()


def test_a_model_that_cannot_be_traced_is_noticed(monkeypatch):
    monkeypatch.delattr(keras.ops, "isinf")
    with raises(RuntimeUnavailableError, CODE, "isinf"):
        seams.check_seams.__wrapped__()


def test_the_check_changes_nothing_for_the_user():
    before = layers.Dense(1).name
    state = random.getstate()
    seams.check_seams.__wrapped__()
    assert random.getstate() == state
    number = int(before.rpartition("_")[2]) if "_" in before else 0
    assert layers.Dense(1).name == f"dense_{number + 1}"
    assert layers.LSTM(1).name.startswith("lstm")


@pytest.mark.parametrize("fail", [False, True])
def test_a_replaced_name_is_put_back(fail):
    class Owner:
        inherited = staticmethod(lambda: 1)

    class Heir(Owner):
        own = staticmethod(lambda: 2)

    before = dict(vars(Heir))
    try:
        with (
            compat.replaced(Heir, "inherited", staticmethod(lambda: 3)),
            compat.replaced(Heir, "own", staticmethod(lambda: 4)),
        ):
            assert (Heir.inherited(), Heir.own()) == (3, 4)
            if fail:
                raise RuntimeError
    except RuntimeError:
        pass
    assert dict(vars(Heir)) == before
    assert Heir.inherited() == 1


def test_every_code_is_documented():
    table = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for part in ("keras", "references"):
        for path in (PACKAGE / part).rglob("*.py"):
            codes = re.findall(r'"(E-[A-Z0-9-]+)"', path.read_text(encoding="utf-8"))
            assert [code for code in codes if f"| {code} |" not in table] == [], path
