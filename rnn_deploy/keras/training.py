"""Layers that a model itself calls in training mode: `layer(x, training=True)`.

A model is called for inference, but a layer that its graph or code calls with training=True stays
in training mode, as in `model(x)` and in Keras' own exporter (`model.predict` overrides it).
BatchNormalization then uses the statistics of the batch, and does not update its moving ones.
Dropout draws random numbers, so it is refused, or left out while `without_dropout(True)` is open.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.keras import access, compat
from rnn_deploy.keras.keras2.package import is_keras2

# Layers that draw random numbers in training mode, and otherwise return their input unchanged.
DROPPING = (
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
    *("AlphaDropout", "GaussianDropout", "GaussianNoise"),
)
NORMALISING = ("BatchNormalization", "SyncBatchNormalization")
_LEFT_OUT: ContextVar[dict[str, None] | None] = ContextVar("layers without dropout", default=None)


@contextmanager
def without_dropout(off: bool) -> Iterator[Callable[[], tuple[str, ...]]]:
    """While open, and if `off`, no layer drops values; yield the names of those that would."""
    left_out: dict[str, None] | None = {} if off else None
    token = _LEFT_OUT.set(left_out)
    try:
        yield lambda: tuple(left_out or ())
    finally:
        _LEFT_OUT.reset(token)


def refuse_unused_option(left_out: tuple[str, ...]) -> None:
    """Raise InputError if --dropout off had no effect."""
    if not left_out:
        raise InputError(
            "E-EXPORT-DROPOUT-UNUSED",
            "--dropout off: no layer of the model drops anything at inference; remove the option",
        )


def keeps_dropping(name: str) -> bool:
    """Return False and record the name while dropout is left out; otherwise refuse the layer."""
    left_out = _LEFT_OUT.get()
    if left_out is None:
        raise UnsupportedModelError(
            "E-MODEL-DROPOUT",
            f"layer '{name}' drops values at inference too (the model calls it with training=True),"
            " so two calls return different values; add --dropout off to export the model without"
            " this dropout, or call the layer without training=True",
        )
    left_out[name] = None
    return False


def mode_of_recurrent(layer: Any, cells: list[Any], training: Any) -> bool:
    """Return the mode in which the loop of a recurrent layer runs its cells."""
    if not training:
        return False
    shares = [getattr(c, n, 0) for c in cells for n in ("dropout", "recurrent_dropout")]
    if any(isinstance(share, int | float) and share > 0 for share in shares):
        return keeps_dropping(layer.name)
    return True


def refuse_normalising_steps(owner: Any, layer: Any) -> None:
    """Raise UnsupportedModelError if a layer in training mode normalises each step separately."""
    found = (x for x in access.layers_in(layer) if access.is_a(x, *NORMALISING))
    for normalising in (x for x in found if x.trainable):
        raise UnsupportedModelError(
            "E-MODEL-NORMALISED-STEPS",
            f"layer '{owner.name}' calls layer '{normalising.name}' in training mode for one step"
            " after the other, so each step is normalised on its own, which cannot be exported;"
            " call it without TimeDistributed, or without training=True",
        )


@contextmanager
def called_for_inference(model: Any) -> Iterator[None]:
    """While open, a call of `model` for inference keeps the layers' explicit training modes."""
    kinds: dict[Any, str] = {
        kind: name
        for layer in access.layers_in(model)
        for kind in type(layer).__mro__
        for name in (*DROPPING, *NORMALISING)
        if kind in [getattr(module, name, None) for module in access.layer_modules()]
    }
    with ExitStack() as stack:
        stack.enter_context(compat.replaced(*compat.OPERATION_FN, _operation_fn()))
        for kind, name in kinds.items():
            replacement = _normalising if name in NORMALISING else _dropping
            stack.enter_context(compat.replaced(kind, "call", replacement(kind.call)))
        yield


def _operation_fn() -> Callable[..., Any]:
    original = getattr(*compat.OPERATION_FN)

    def operation_fn(operation: Any, **context: Any) -> Callable[..., Any]:
        others = {name: value for name, value in context.items() if name != "training"}

        def call(*args: Any, **options: Any) -> Any:
            recorded = options.get("training")
            given = others if isinstance(recorded, bool | int) and recorded else context
            return original(operation, **given)(*args, **options)

        return call

    return operation_fn


def _dropping(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, inputs: Any, training: Any = False) -> Any:
        rate = next((r for r in (getattr(self, n, None) for n in ("rate", "stddev")) if r), 0)
        training = bool(training) and rate > 0 and keeps_dropping(self.name)
        return original(self, inputs, training=training)

    return call


def _normalising(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        options = {} if mask is None else {"mask": mask}
        if not training:
            return original(self, inputs, training=False, **options)
        if is_keras2(self):
            with _set(self, fused=False, add_update=lambda *_, **__: None):
                return original(self, inputs, training=True, **options)
        with ExitStack() as stack:
            for statistic in self.non_trainable_variables:
                stack.enter_context(_set(statistic, assign=lambda value: value))
            return original(self, inputs, training=True, **options)

    return call


@contextmanager
def _set(owner: Any, **attributes: Any) -> Iterator[None]:
    """While open, an object has these attributes, bypassing its own `__setattr__`."""
    before = {name: vars(owner)[name] for name in attributes if name in vars(owner)}
    try:
        for name, value in attributes.items():
            object.__setattr__(owner, name, value)
        yield
    finally:
        for name in attributes:
            if name in before:
                object.__setattr__(owner, name, before[name])
            else:
                object.__delattr__(owner, name)
