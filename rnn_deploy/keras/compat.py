"""Every private name of Keras and TensorFlow that the project uses, with the expected signatures.

`access` reads private attributes of models and layers, and `keras2` the private names of tf_keras;
no other module uses one (tests/keras/test_compat.py). Importing this module checks the signatures.
Before the first trace, `seams` checks that Keras still calls the replaced functions. `CHECKED` has
the newest minor releases on which all tests passed: raise it together with the bounds in
pyproject.toml and constraints.txt, after `scripts/newest` passed.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.keras.tensorflow import keras, tf

CHECKED = {"keras": "3.15", "tensorflow": "2.21", "tf_keras": "2.21"}

# Functions that we replace or override, with the parameters that they must have, in order.
REPLACED = {
    "keras.layers.RNN.call": "self sequences initial_state mask training",
    "keras.layers.RNN.inner_loop": "self sequences initial_state mask training",
    "keras.layers.RNN.get_initial_state": "self batch_size",
    "keras.layers.Bidirectional.call": "self sequences initial_state mask training",
    "keras.layers.TimeDistributed.call": "self inputs training mask",
    "keras.layers.Embedding.call": "self inputs",
    "keras.layers.Masking.call": "self inputs",
    "keras.layers.CategoryEncoding.call": "self inputs count_weights",
    "keras.layers.Layer.__call__": "self args kwargs",
    "keras.layers.Layer._assert_input_compatibility": "self arg_0",
    "keras.src.models.functional.Functional._convert_inputs_to_tensors": "self flat_inputs",
    "keras.src.models.functional.operation_fn": "operation call_context_args",
    "keras.src.ops.nn._normalize": "x axis order epsilon",
    "keras.src.backend.tensorflow.nn._apply_masks": "logits mask is_causal",
    "keras.src.backend.tensorflow.nn.ctc_decode": (
        "inputs sequence_lengths strategy beam_width top_paths merge_repeated mask_index"
    ),
    "keras.src.backend.tensorflow.numpy.signbit": "x",
    "keras.src.backend.tensorflow.numpy.digitize": "x bins",
    "tensorflow.nn.ctc_greedy_decoder": "inputs sequence_length merge_repeated blank_index",
    "tensorflow.tensordot": "a b axes name",
    "tensorflow.roll": "input shift axis name",
    "tensorflow.split": "value num_or_size_splits axis num name",
    "tensorflow.python.ops.gen_array_ops.strided_slice": (
        "input begin end strides begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask"
        " name"
    ),
    "tensorflow.one_hot": "indices depth on_value off_value axis dtype name",
    "tensorflow.math.softplus": "features name",
    "tensorflow.math.log_sigmoid": "x name",
    "tensorflow.math.is_inf": "x name",
}
# Functions and classes that we call, with the parameters that we pass by name or by place.
CALLED = {
    "keras.layers.Layer._flatten_layers": "include_self",
    "keras.src.backend.AutocastScope": "dtype",
    "keras.src.backend.tensorflow.nn._get_large_negative": "dtype",
    "tensorflow.python.autograph.core.ag_ctx.ControlStatusCtx": "status",
    "tensorflow.python.autograph.impl.api.tf_convert": "f ctx",
    "tensorflow.python.framework.convert_to_constants.convert_variables_to_constants_v2": (
        "func lower_control_flow"
    ),
    "tensorflow.python.framework.convert_to_constants._FunctionConverterDataInEager": (
        "func lower_control_flow aggressive_inlining"
    ),
    "tensorflow.python.framework.convert_to_constants._replace_variables_by_constants": (
        "converter_data"
    ),
    "tensorflow.compiler.tf2xla.ops.gen_xla_ops.xla_dynamic_update_slice": "input update indices",
    "tensorflow.lite.python.convert.convert_graphdef": "input_data input_tensors output_tensors",
    "tensorflow.raw_ops.PyFuncStateless": "input token Tout",
}
_ABSENT = object()
_REACHED: ContextVar[dict[str, bool] | None] = ContextVar("replaced names reached", default=None)


def newer_than_checked(package: str, fault: str) -> RuntimeUnavailableError:
    """Return the error for an unexpected behaviour of the installed keras or tensorflow.

    fault: the name, and what was expected and found.
    """
    title = {"keras": "Keras", "tensorflow": "TensorFlow"}.get(package, package)
    found, checked = version(package), CHECKED[package]
    if _minor(found) > _minor(checked):
        what = f"is newer than the newest one that rnn_deploy was checked with ({checked})"
    else:
        what = f"does not behave as it did when rnn_deploy was checked with {checked}"
    return RuntimeUnavailableError(
        "E-EXPORT-KERAS-VERSION",
        f"this {title} version ({found}) {what}: {fault}; install the checked version:"
        f" pip install '{package}=={checked}.*'",
    )


def _minor(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".")[:2])


def find(path: str) -> Any:
    """Return the object at a dotted path that begins with keras or tensorflow."""
    package, *rest = path.split(".")
    found: Any = importlib.import_module(package)
    module = package
    for part in rest:
        module = f"{module}.{part}"
        if hasattr(found, part):
            found = getattr(found, part)
            continue
        try:
            found = importlib.import_module(module)
        except ImportError:
            raise newer_than_checked(package, f"it has no {path}") from None
    return found


def check_signatures(replaced: Mapping[str, str], called: Mapping[str, str]) -> None:
    """Raise RuntimeUnavailableError if a function that we replace or call has other parameters."""
    for path, wanted in replaced.items():
        found = list(_parameters(path))
        if found != wanted.split():
            raise newer_than_checked(
                path.split(".")[0], f"{path} takes ({', '.join(found)}), expected ({wanted})"
            )
    for path, wanted in called.items():
        missing = [name for name in wanted.split() if name not in _parameters(path)]
        if missing:
            raise newer_than_checked(path.split(".")[0], f"{path} takes no argument '{missing[0]}'")


def _parameters(path: str) -> dict[str, Any]:
    return dict(inspect.signature(find(path)).parameters)


check_signatures(REPLACED, CALLED)

# TensorFlow
convert_variables_to_constants = find(
    "tensorflow.python.framework.convert_to_constants.convert_variables_to_constants_v2"
)
FunctionConverterData = find(
    "tensorflow.python.framework.convert_to_constants._FunctionConverterDataInEager"
)
replace_variables_by_constants = find(
    "tensorflow.python.framework.convert_to_constants._replace_variables_by_constants"
)
ControlFlowFuncGraph = find(
    "tensorflow.python.ops.control_flow_v2_func_graphs.ControlFlowFuncGraph"
)
SavedModelProto = find("tensorflow.core.protobuf.saved_model_pb2").SavedModel
DecodeError = find("google.protobuf.message.DecodeError")
ConverterError = find("tensorflow.lite.python.convert.ConverterError")
convert_graphdef = find("tensorflow.lite.python.convert.convert_graphdef")
schema = find("tensorflow.lite.python.schema_py_generated")
xla_dynamic_update_slice = find(
    "tensorflow.compiler.tf2xla.ops.gen_xla_ops.xla_dynamic_update_slice"
)
ControlStatusCtx = find("tensorflow.python.autograph.core.ag_ctx.ControlStatusCtx")
NUMPY_OPERATIONS, NN_OPERATIONS = find("keras.src.ops.numpy"), find("keras.src.ops.nn")
AUTOGRAPH_ENABLED = find("tensorflow.python.autograph.core.ag_ctx.Status").ENABLED
tf_convert = find("tensorflow.python.autograph.impl.api.tf_convert")

# Keras
AutocastScope = find("keras.src.backend.AutocastScope")
get_keras_mask = find("keras.src.backend.get_keras_mask")
set_keras_mask = find("keras.src.backend.set_keras_mask")
Functional = find("keras.src.models.functional.Functional")
ConvLSTMCell = find("keras.src.layers.rnn.conv_lstm.ConvLSTMCell")
nn_ops = find("keras.src.ops.nn")
backend_nn = find("keras.src.backend.tensorflow.nn")
backend_math = find("keras.src.backend.tensorflow.math")
backend_numpy = find("keras.src.backend.tensorflow.numpy")
get_large_negative = backend_nn._get_large_negative
# Owner and name of each replaced private function.
NORMALIZE = (nn_ops, "_normalize")
APPLY_MASKS = (backend_nn, "_apply_masks")
CONVERT_INPUTS = (Functional, "_convert_inputs_to_tensors")
STRIDED_SLICE = (find("tensorflow.python.ops.gen_array_ops"), "strided_slice")
CTC_DECODE = (backend_nn, "ctc_decode")
OPERATION_FN = (find("keras.src.models.functional"), "operation_fn")


@contextmanager
def replaced(owner: Any, name: str, value: Callable[..., Any]) -> Iterator[None]:
    """While open, the attribute `name` of `owner` (a module or class) is `value`."""
    before = vars(owner).get(name, _ABSENT)
    if not str(getattr(owner, "__module__", "")).startswith("tf_keras"):
        value = _noted(f"{owner.__name__}.{name}", value)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


@contextmanager
def noting_reached() -> Iterator[dict[str, bool]]:
    """While open, record for each replaced name whether its replacement was called."""
    reached: dict[str, bool] = {}
    token = _REACHED.set(reached)
    try:
        yield reached
    finally:
        _REACHED.reset(token)


def _noted(name: str, value: Callable[..., Any]) -> Callable[..., Any]:
    reached = _REACHED.get()
    if reached is None:
        return value
    reached.setdefault(name, False)

    @functools.wraps(value)  # Keras inspects the signature of a layer's call
    def noted(*args: Any, **options: Any) -> Any:
        reached[name] = True
        return value(*args, **options)

    return noted


def custom_objects() -> dict[str, Any]:
    """Return the user's classes and functions: registered ones, and those of an open scope."""
    get = find("keras.src.backend.common.global_state.get_global_attribute")
    return {**keras.saving.get_custom_objects(), **(get("custom_objects_scope_dict") or {})}


def operations() -> dict[str, Any]:
    """Return the operations of Keras 3 by class name, without those of layers."""
    modules = (find(f"keras.src.ops.{name}") for name in ("core", "numpy", "nn", "math", "image"))
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, type)
        and issubclass(kind, keras.Operation)
        and not hasattr(keras.layers, name)
    }


@contextmanager
def functions_in_place() -> Iterator[None]:
    """While open, a tf.function is traced where it is called.

    Otherwise TensorFlow would insert a cached graph, with Keras' loops in it, or with states that
    must not leave it.
    """

    def call(function: Any, *args: Any, **options: Any) -> Any:
        if not function._autograph:
            return function.python_function(*args, **options)
        with ControlStatusCtx(AUTOGRAPH_ENABLED) as context:
            return tf_convert(function.python_function, context)(*args, **options)

    with replaced(type(tf.function(lambda: None)), "__call__", call):
        yield
