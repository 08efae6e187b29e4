"""Convert what json.loads returns to our own frozen dataclasses, and to no other class.

This reverses `dataclasses.asdict`. Every field must be present with its declared type, and there
must be no other field.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any


def decoded(kind: Any, data: Any, at: str = "it") -> Any:
    """Return `data` as a value of the type `kind`.

    kind: a dataclass, tuple, dict, union, literal or plain type; Any takes every value as it is.
    Raises ValueError with the place of the value that does not fit: `at` and the path from there.
    """
    if kind is Any:
        return data
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(kind, data, at)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(data, list):
        kinds = inner[:1] * len(data) if inner[-1] is Ellipsis else inner
        if len(kinds) == len(data):
            pairs = enumerate(zip(kinds, data, strict=True))
            return tuple(decoded(k, item, f"{at}[{i}]") for i, (k, item) in pairs)
    if origin in (dict, Mapping) and isinstance(data, dict):
        return {key: decoded(inner[1], value, f"{at}.{key}") for key, value in data.items()}
    if origin in (typing.Union, types.UnionType):
        return _union(inner, data, at)
    if origin is typing.Literal and data in inner:
        return data
    if kind is float and type(data) is int:
        return float(data)
    if isinstance(kind, type) and type(data) is kind:
        return data
    raise ValueError(f"{at} is {str(data)[:80]!r}, expected {_type_name(kind)}")


def _dataclass(kind: type, data: Any, at: str) -> Any:
    hints = _hints(kind)
    if not isinstance(data, dict):
        raise ValueError(f"{at} is {str(data)[:80]!r}, expected {kind.__name__}")
    for fault, names in (
        ("lacks the", hints.keys() - data.keys()),
        ("has the unknown", data.keys() - hints),
    ):
        if names:
            raise ValueError(f"{at} {fault} field '{min(names)}'")
    return kind(**{name: decoded(hints[name], data[name], f"{at}.{name}") for name in hints})


_hints = functools.cache(typing.get_type_hints)


def _union(kinds: tuple[Any, ...], data: Any, at: str) -> Any:
    if data is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    fitting = next((kind for kind in others if type(data) is kind), others[-1])
    return decoded(fitting, data, at)


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("rnn_deploy.", "")
