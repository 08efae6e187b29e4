"""The C statements of each node.

A writer knows where each value lies (`ref`), which weights and functions are used, and how large
the scratch array `a` must be; the functions here say what is computed.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnn_deploy.c.cells import cell_statements
from rnn_deploy.c.ir import (
    ActivationNode,
    CellNode,
    ConvNode,
    DenseNode,
    KeepNode,
    LookupNode,
    MergeNode,
    Node,
    NormaliseNode,
    ScaleNode,
    SliceNode,
    Value,
)
from rnn_deploy.c.place import Lines, Place, activated, filled, number, product


def statements(node: Node, place: Place) -> Lines:
    """Return the statements that compute a node's outputs."""
    return _WRITERS[type(node)](node, place)


def _dense(node: DenseNode, place: Place) -> Lines:
    y, size = place.ref(node.y), node.y.size
    return [
        *filled(node.bias, f"{node.layer}_bias", y, size, place),
        product(f"{node.layer}_kernel", node.kernel, place.ref(node.x), y, place),
        *activated(node.activation, y, y, size, place),
    ]


def _lookup(node: LookupNode, place: Place) -> Lines:
    count, size = node.table.shape
    table = place.weights.matrix(f"{node.layer}_table", node.table)
    ids, y = f"{place.ref(node.x)}[0]", place.ref(node.y)
    whole = ids if node.x.dtype.startswith("int") else f"(int32_t){ids}"
    row = f"(size_t)({whole} < 0 ? {whole} + {count} : {whole})"
    if not table.kind:
        return [f"memcpy({y}, {table.name} + {row} * {size}, {size} * sizeof(float));"]
    return [f"{place.use(f'row{table.kind}')}({table.arguments}, {row}, {size}, {y});"]


def _activation(node: ActivationNode, place: Place) -> Lines:
    x, y, size = place.ref(node.x), place.ref(node.y), node.y.size
    if node.slope is None:
        return activated(node.activation, x, y, size, place)
    slope = place.weights.add(f"{node.layer}_slope", node.slope)
    return [f"{place.use('slope')}({x}, {slope}, {y}, {size});"]


def _normalise(node: NormaliseNode, place: Place) -> Lines:
    x, y, size = place.ref(node.x), place.ref(node.y), node.y.size
    gamma, beta = (
        "NULL" if value is None else place.weights.add(f"{node.layer}_{name}", value)
        for name, value in (("gamma", node.gamma), ("beta", node.beta))
    )
    call = f"{place.use('normalise')}({y}, {size}, {number(node.epsilon)}, {gamma}, {beta});"
    return [f"memcpy({y}, {x}, {size} * sizeof(float));", call]


def _scale(node: ScaleNode, place: Place) -> Lines:
    x, y, size = place.ref(node.x), place.ref(node.y), node.y.size
    scale, offset = (
        place.weights.add(f"{node.layer}_{name}", value)
        for name, value in (("scale", node.scale), ("offset", node.offset))
    )
    call = f"{place.use('scale')}({y}, {scale}, {offset}, {size});"
    return [f"memcpy({y}, {x}, {size} * sizeof(float));", call]


def _conv(node: ConvNode, place: Place) -> Lines:
    """Write a convolution. Its state, the window, holds the previous steps, the oldest first."""
    x, y, size, width = place.ref(node.x), place.ref(node.y), node.y.size, node.x.size
    lines = filled(node.bias, f"{node.layer}_bias", y, size, place)
    window = place.state(node, "window") if node.past else ""
    for tap, kernel in enumerate(node.kernel):
        at = tap * node.dilation
        source = x if at == node.past else f"{window} + {at * width}"
        lines.append(product(f"{node.layer}_kernel_{tap}", kernel, source, y, place))
    if node.past > 1:
        moved = (node.past - 1) * width
        lines.append(f"memmove({window}, {window} + {width}, {moved} * sizeof(float));")
    if node.past:
        last = (node.past - 1) * width
        lines.append(f"memcpy({window} + {last}, {x}, {width} * sizeof(float));")
    return [*lines, *activated(node.activation, y, y, size, place)]


def _merge(node: MergeNode, place: Place) -> Lines:
    y = place.ref(node.y)
    if node.kind == "concat":
        starts = np.cumsum([0, *(value.size for value in node.inputs)])
        return [
            f"memcpy({y} + {start}, {place.ref(value)}, {value.size} * sizeof(float));"
            for start, value in zip(starts, node.inputs, strict=False)
        ]
    terms = [f"{place.ref(v)}[{'j' if v.size > 1 else '0'}]" for v in node.inputs]
    if node.constant is not None:
        constant = f"{place.weights.add(f'{node.layer}_constant', node.constant)}[j]"
        terms = [constant, *terms] if node.constant_first else [*terms, constant]
    return _each(node.y.size, f"{y}[j] = {_MERGED[node.kind](terms)};")


def _infix(sign: str) -> Callable[[Sequence[str]], str]:
    return lambda terms: f" {sign} ".join(terms)


def _extreme(sign: str) -> Callable[[Sequence[str]], str]:
    def chosen(terms: Sequence[str]) -> str:
        found = terms[0]
        for term in terms[1:]:  # NaN in either is NaN
            found = f"({found} {sign} {term} || {found} != {found} ? {found} : {term})"
        return found

    return chosen


_MERGED: dict[str, Callable[[Sequence[str]], str]] = {
    "add": _infix("+"),
    "subtract": _infix("-"),
    "multiply": _infix("*"),
    "average": lambda terms: f"({' + '.join(terms)}) / {len(terms)}.0f",
    "maximum": _extreme(">"),
    "minimum": _extreme("<"),
}


def _each(count: int, statement: str) -> Lines:
    return [f"for (j = 0; j < {count}; j++) {{", f"    {statement}", "}"]


def _slice(node: SliceNode, place: Place) -> Lines:
    x, y = place.ref(node.x), place.ref(node.y)
    if node.step == 1:
        return [f"memcpy({y}, {x} + {node.start}, {node.y.size} * sizeof(float));"]
    sign, step = ("+", node.step) if node.step > 0 else ("-", -node.step)
    return _each(node.y.size, f"{y}[j] = {x}[{node.start} {sign} {step} * j];")


def _keep(node: KeepNode, place: Place) -> Lines:
    x, y, size = place.ref(node.x), place.ref(node.y), node.y.size
    return [
        f"if ({place.counts(node.x, node.value)}) {{",
        f"    memcpy({y}, {x}, {size} * sizeof(float));",
        "} else {",
        f"    memset({y}, 0, {size} * sizeof(float));",
        "}",
    ]


def differs(x: Value, value: float, place: Place) -> str:
    """Return the condition under which a step counts, as Masking and Embedding have it."""
    if x.dtype != "float32":
        return f"{place.ref(x)}[0] != {int(value)}"
    return f"{place.use('differs')}({place.ref(x)}, {x.size}, {number(value)})"


_WRITERS: dict[type[Node], Callable[[Any, Place], Lines]] = {
    CellNode: cell_statements,
    DenseNode: _dense,
    LookupNode: _lookup,
    ActivationNode: _activation,
    NormaliseNode: _normalise,
    ScaleNode: _scale,
    ConvNode: _conv,
    MergeNode: _merge,
    SliceNode: _slice,
    KeepNode: _keep,
}
