from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest

from rnn_deploy.bundle.decoding import decoded


@dataclass(frozen=True)
class Inner:
    size: float
    pair: tuple[int, str]


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    name: str | None
    kind: Literal["a", "b"]
    by_name: Mapping[str, int]
    anything: Any


GOOD = {
    "inner": [{"size": 1, "pair": [2, "x"]}],
    "name": None,
    "kind": "b",
    "by_name": {"k": 3},
    "anything": [1, {"z": None}],
}


def test_every_kind_of_field_is_read():
    value = decoded(Outer, GOOD)
    assert value == Outer((Inner(1.0, (2, "x")),), None, "b", {"k": 3}, [1, {"z": None}])
    assert type(value.inner[0].size) is float
    assert asdict(value)["inner"][0]["pair"] == (2, "x")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"inner": {}}, "it.inner"),
        ({"inner": [3]}, "it.inner[0]"),
        ({"inner": [{"size": "1", "pair": [2, "x"]}]}, "it.inner[0].size"),
        ({"inner": [{"size": True, "pair": [2, "x"]}]}, "it.inner[0].size"),
        ({"inner": [{"size": 1, "pair": [2]}]}, "it.inner[0].pair"),
        ({"inner": [{"size": 1, "pair": [2, 3]}]}, "it.inner[0].pair[1]"),
        ({"inner": [{"size": 1}]}, "'pair'"),
        ({"inner": [{"size": 1, "pair": [2, "x"], "more": 0}]}, "'more'"),
        ({"name": 3}, "it.name"),
        ({"kind": "c"}, "it.kind"),
        ({"by_name": {"k": "v"}}, "it.by_name.k"),
        ({"by_name": []}, "it.by_name"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(change, place):
    with pytest.raises(ValueError) as caught:
        decoded(Outer, GOOD | change)
    assert place in str(caught.value)
