"""Values of our own frozen dataclasses back from what json.loads gives; nothing else is made."""

import dataclasses
import types
import typing
from typing import Any

_PLAIN = (str, int, float, bool)


def decoded(kind: Any, data: Any) -> Any:
    """`data` as a value of the type `kind`: a dataclass, tuple, dict, union or plain type.

    ValueError, TypeError or KeyError where it does not fit.
    """
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: decoded(hints[name], value) for name, value in data.items()})
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        kinds = inner[:1] * len(data) if inner[-1] is Ellipsis else inner
        return tuple(decoded(k, item) for k, item in zip(kinds, data, strict=True))
    if origin is dict:
        return {decoded(inner[0], k): decoded(inner[1], v) for k, v in data.items()}
    if origin in (typing.Union, types.UnionType):
        return (
            None if data is None else decoded(next(k for k in inner if k is not type(None)), data)
        )
    if origin is typing.Literal:
        if data not in inner:
            raise ValueError(f"{data!r} is none of {inner}")
        return data
    if kind is float and type(data) is int:
        return float(data)
    if kind not in _PLAIN or type(data) is not kind:
        raise TypeError(f"{data!r} is not a {getattr(kind, '__name__', kind)}")
    return data
