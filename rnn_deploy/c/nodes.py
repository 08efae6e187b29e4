"""The C statements of each node.

A writer knows where each value lies (`ref`), which weights and functions are used, and how large
the scratch array `a` must be; the functions here say what is computed.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from rnn_deploy.c.ir import (
    ActivationNode,
    CellNode,
    ConvNode,
    DenseNode,
    Float,
    KeepNode,
    LookupNode,
    MergeNode,
    Node,
    NormaliseNode,
    ScaleNode,
    SliceNode,
    Value,
)
from rnn_deploy.c.layers import SOFTMAX
from rnn_deploy.c.weights import WeightTable
from rnn_deploy.numerics.layouts import GATES

Lines = list[str]


class Place(Protocol):
    """Where statements are written: what they may refer to."""

    weights: WeightTable

    def ref(self, value: Value) -> str: ...

    def mask(self, value: Value) -> str: ...

    def counts(self, x: Value, value: float) -> str: ...

    def state(self, node: Node, role: str) -> str: ...

    def scratch(self, floats: int) -> str: ...

    def use(self, block: str, act: str = "", gate: str = "") -> str: ...


def statements(node: Node, place: Place) -> Lines:
    """The statements that compute a node's outputs."""
    return _WRITERS[type(node)](node, place)


def _filled(bias: Float | None, name: str, target: str, size: int, place: Place) -> Lines:
    if bias is None or not bias.any():
        return [f"memset({target}, 0, {size} * sizeof(float));"]
    return [f"memcpy({target}, {place.weights.add(name, bias)}, {size} * sizeof(float));"]


def _product(name: str, kernel: Float, x: str, target: str, place: Place) -> str:
    matrix = place.weights.matrix(name, kernel)
    function = place.use(f"product{matrix.kind}")
    return f"{function}({matrix.arguments}, {x}, {matrix.rows}, {matrix.columns}, {target});"


def _activated(name: str, x: str, y: str, size: int, place: Place) -> Lines:
    """y = activation of x, which may be y."""
    if name == "linear":
        return [] if x == y else [f"memcpy({y}, {x}, {size} * sizeof(float));"]
    if name == SOFTMAX:
        copied = _activated("linear", x, y, size, place)
        return [*copied, f"{place.use('softmax')}({y}, {size});"]
    return [f"{place.use('map', name)}({x}, {y}, {size});"]


def _cell(node: CellNode, place: Place) -> Lines:
    lines = _CELLS[node.cell.cell](node, place)
    carried = place.state(node, "output") if node.cell.carries_output else ""
    if carried:
        units, h = node.cell.units, place.state(node, "h")
        lines.append(f"memcpy({carried}, {h}, {units} * sizeof(float));")
    if node.mask is None:
        return lines
    lines = [f"if ({place.mask(node.mask)}) {{", *(f"    {line}" for line in lines), "}"]
    if node.cell.zero_output_for_mask:
        cleared = f"    memset({carried}, 0, {node.cell.units} * sizeof(float));"
        lines[-1:] = ["} else {", cleared, "}"]
    return lines


def _sums(node: CellNode, kernel: Float, bias: Float | None, a: str, place: Place) -> Lines:
    """a = bias + x W, for the cell's kernel with its gates in the order that it needs."""
    name = node.layer
    size = kernel.shape[1]
    if bias is not None:
        size = max(size, bias.size)
    return [
        *_filled(bias, f"{name}_bias", a, size, place),
        _product(f"{name}_kernel", kernel, place.ref(node.x), a, place),
    ]


def _simple_rnn(node: CellNode, place: Place) -> Lines:
    cell, h = node.cell, place.state(node, "h")
    a = place.scratch(cell.units)
    step = place.use("simple_rnn", cell.activation)
    return [
        *_sums(node, cell.kernel, cell.bias, a, place),
        _product(f"{node.layer}_recurrent", cell.recurrent_kernel, h, a, place),
        f"{step}({a}, {h}, {cell.units});",
    ]


def _lstm(node: CellNode, place: Place) -> Lines:
    cell, h, c = node.cell, place.state(node, "h"), place.state(node, "c")
    a = place.scratch(4 * cell.units)
    step = place.use("lstm", cell.activation, cell.recurrent_activation)
    return [
        *_sums(node, cell.kernel, cell.bias, a, place),
        _product(f"{node.layer}_recurrent", cell.recurrent_kernel, h, a, place),
        f"{step}({a}, {h}, {c}, {cell.units});",
    ]


def _gru(node: CellNode, place: Place) -> Lines:
    """The sums lie in `a` as candidate, z, r, and the candidate's recurrent product."""
    cell, h, units = node.cell, place.state(node, "h"), node.cell.units
    z, r, candidate = np.split(cell.kernel, GATES["gru"], axis=1)
    kernel = np.concatenate([candidate, z, r], axis=1)
    bias = _gru_bias(cell.bias, units, cell.reset_after)
    R, name = cell.recurrent_kernel, f"{node.layer}_recurrent"
    if cell.reset_after:
        a = place.scratch(4 * units)
        step = place.use("gru", cell.activation, cell.recurrent_activation)
        cleared = [] if bias is not None else [f"memset({a}, 0, {4 * units} * sizeof(float));"]
        sums = _sums(node, kernel, bias, a, place)
        return [
            *(sums if bias is not None else [*cleared, sums[-1]]),
            _product(name, R, h, f"{a} + {units}", place),
            f"{step}({a}, {h}, {units});",
        ]
    a = place.scratch(3 * units)
    gates = place.use("gru_gates", gate=cell.recurrent_activation)
    update = place.use("gru_update", cell.activation)
    return [
        *_sums(node, kernel, bias, a, place),
        _product(name, R[:, : 2 * units], h, f"{a} + {units}", place),
        f"{gates}({a}, {h}, {units});",
        _product(f"{name}_candidate", R[:, 2 * units :], f"{a} + {2 * units}", a, place),
        f"{update}({a}, {h}, {units});",
    ]


def _gru_bias(bias: Float | None, units: int, reset_after: bool) -> Float | None:
    """The biases in the order of the sums; those of z and r are added up, rounded once."""
    if bias is None:
        return None
    both = np.atleast_2d(bias).astype(np.float64)
    z, r, candidate = np.split(both.sum(axis=0), GATES["gru"])
    if not reset_after:
        return np.concatenate([candidate, z, r]).astype(np.float32)
    first, last = both[0, 2 * units :], both[1, 2 * units :]
    return np.concatenate([first, z, r, last]).astype(np.float32)


_CELLS = {"simple_rnn": _simple_rnn, "gru": _gru, "lstm": _lstm}


def _dense(node: DenseNode, place: Place) -> Lines:
    y, size = place.ref(node.y), node.y.size
    return [
        *_filled(node.bias, f"{node.layer}_bias", y, size, place),
        _product(f"{node.layer}_kernel", node.kernel, place.ref(node.x), y, place),
        *_activated(node.activation, y, y, size, place),
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
        return _activated(node.activation, x, y, size, place)
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
    """The window in the state holds the steps before, the oldest first."""
    x, y, size, width = place.ref(node.x), place.ref(node.y), node.y.size, node.x.size
    lines = _filled(node.bias, f"{node.layer}_bias", y, size, place)
    window = place.state(node, "window") if node.past else ""
    for tap, kernel in enumerate(node.kernel):
        at = tap * node.dilation
        source = x if at == node.past else f"{window} + {at * width}"
        lines.append(_product(f"{node.layer}_kernel_{tap}", kernel, source, y, place))
    if node.past > 1:
        moved = (node.past - 1) * width
        lines.append(f"memmove({window}, {window} + {width}, {moved} * sizeof(float));")
    if node.past:
        last = (node.past - 1) * width
        lines.append(f"memcpy({window} + {last}, {x}, {width} * sizeof(float));")
    return [*lines, *_activated(node.activation, y, y, size, place)]


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
    """The condition under which a step counts, as Masking and Embedding have it."""
    if x.dtype != "float32":
        return f"{place.ref(x)}[0] != {int(value)}"
    return f"{place.use('differs')}({place.ref(x)}, {x.size}, {number(value)})"


def number(value: float) -> str:
    """A float32 constant, exact."""
    return f"{float(np.float32(value)).hex()}f"


_WRITERS: dict[type[Node], Callable[[Any, Place], Lines]] = {
    CellNode: _cell,
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
