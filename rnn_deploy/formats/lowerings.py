"""Choose the lowering of each layer: the part that all formats share.

A format subclasses `LoweringRequest` for the requests of users, and calls `choose` with its own
automatic choice. This module knows the lowerings by name and imports none of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.formats.base import FormatOption
from rnn_deploy.spec import DECODE, STREAM, Recurrence, Support

AUTO, ALL_OTHERS, UNROLLED = "auto", "*", "unrolled"


@dataclass(frozen=True)
class LoweringRequest:
    """The lowerings that a user requests: one for all layers, and others by layer name.

    option: the option on the command line, for messages. known: the format's lowerings.
    Raise InputError for a lowering that the format does not know.
    """

    option: ClassVar[str]
    known: ClassVar[tuple[str, ...]]
    lowering: str = AUTO
    by_layer: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = (AUTO, *self.known)
        for name in (self.lowering, *self.by_layer.values()):
            if name not in known:
                raise InputError(
                    "E-EXPORT-LOWERING-UNKNOWN",
                    f"{self.option} {name}: unknown lowering; choose from: {', '.join(known)}",
                )

    @classmethod
    def read(cls, value: str | Mapping[str, str] | Sequence[str], **more: Any) -> Self:
        """Return the request for "NAME", {LAYER: NAME} or several "[LAYER=]NAME".

        The layer "*" means all other layers. more: fields of the subclass.
        """
        if isinstance(value, str):
            value = (value,)
        by_layer = dict(value) if isinstance(value, Mapping) else _by_layer(cls.option, value)
        lowering = by_layer.pop(ALL_OTHERS, AUTO)
        return cls(lowering, by_layer, **more)

    def of(self, layer: Recurrence) -> str:
        """Return the lowering requested for a layer."""
        return self.by_layer.get(layer.name, self.lowering)

    def check_layers(self, layers: Sequence[Recurrence]) -> None:
        """Raise InputError if a lowering is requested for a layer that is not in `layers`."""
        names = [layer.name for layer in layers]
        unknown = [name for name in self.by_layer if name not in names]
        if unknown:
            raise InputError(
                "E-EXPORT-LAYER-UNKNOWN",
                f"{self.option}: the model has no recurrent layer '{unknown[0]}'; its recurrent"
                f" layers are: {', '.join(names) or 'none'}",
            )


def choose(
    layer: Recurrence,
    requested: str,
    entry: str,
    support: Callable[[str], Support],
    automatic: Callable[[str], tuple[str, str]],
) -> tuple[str, str]:
    """Return the lowering of `layer` in the entry point `entry`, and the reason.

    support: whether a lowering can express the layer. automatic: the choice without a request; it
    returns a prefix for its reason too. The entry points `stream` and `decode` take chunks of any
    length, so there the automatic choice replaces `unrolled`, with a reason.

    Raise UnsupportedModelError if the requested lowering cannot express the layer.
    """
    if requested == AUTO:
        return automatic("")
    if requested == UNROLLED and entry in (STREAM, DECODE) and layer.steps is None:
        return automatic("not unrolled, since a chunk may have any length; ")
    found = support(requested)
    if not found.ok:
        raise UnsupportedModelError(
            "E-MODEL-LOWERING",
            f"layer '{layer.name}': lowering '{requested}' cannot express it: {found.reason}",
        )
    return requested, f"requested; {found.reason}"


def lowering_option(name: str, title: str, known: Sequence[str]) -> FormatOption:
    """Return the option of the format `title` that requests lowerings."""
    names = ", ".join((AUTO, *known))
    text = f"Write recurrent layers in {title} as {names}: all of them or one; may be repeated."
    return FormatOption(name, AUTO, text, many=True, metavar="[LAYER=]NAME")


def _by_layer(option: str, words: Sequence[str]) -> dict[str, str]:
    lowerings: dict[str, str] = {}
    for word in words:
        layer, equals, name = word.rpartition("=")
        key = layer if equals else ALL_OTHERS
        if key in lowerings:
            what = f"layer '{layer}'" if equals else "all layers"
            raise InputError(
                "E-EXPORT-LOWERING-TWICE",
                f"{option}: two lowerings for {what}, {lowerings[key]} and {name}; keep one",
            )
        lowerings[key] = name
    return lowerings
