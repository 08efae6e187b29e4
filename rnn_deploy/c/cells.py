"""The C statements of one step of a recurrent layer."""

import numpy as np

from rnn_deploy.c.ir import CellNode, Float
from rnn_deploy.c.place import Lines, Place, filled, product
from rnn_deploy.numerics.layouts import GATES


def cell_statements(node: CellNode, place: Place) -> Lines:
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
        *filled(bias, f"{name}_bias", a, size, place),
        product(f"{name}_kernel", kernel, place.ref(node.x), a, place),
    ]


def _simple_rnn(node: CellNode, place: Place) -> Lines:
    cell, h = node.cell, place.state(node, "h")
    a = place.scratch(cell.units)
    step = place.use("simple_rnn", cell.activation)
    return [
        *_sums(node, cell.kernel, cell.bias, a, place),
        product(f"{node.layer}_recurrent", cell.recurrent_kernel, h, a, place),
        f"{step}({a}, {h}, {cell.units});",
    ]


def _lstm(node: CellNode, place: Place) -> Lines:
    cell, h, c = node.cell, place.state(node, "h"), place.state(node, "c")
    a = place.scratch(4 * cell.units)
    step = place.use("lstm", cell.activation, cell.recurrent_activation)
    return [
        *_sums(node, cell.kernel, cell.bias, a, place),
        product(f"{node.layer}_recurrent", cell.recurrent_kernel, h, a, place),
        f"{step}({a}, {h}, {c}, {cell.units});",
    ]


def _gru(node: CellNode, place: Place) -> Lines:
    """Write a GRU cell. `a`: sums of candidate, z, r, then the candidate's recurrent part."""
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
            product(name, R, h, f"{a} + {units}", place),
            f"{step}({a}, {h}, {units});",
        ]
    a = place.scratch(3 * units)
    gates = place.use("gru_gates", gate=cell.recurrent_activation)
    update = place.use("gru_update", cell.activation)
    return [
        *_sums(node, kernel, bias, a, place),
        product(name, R[:, : 2 * units], h, f"{a} + {units}", place),
        f"{gates}({a}, {h}, {units});",
        product(f"{name}_candidate", R[:, 2 * units :], f"{a} + {2 * units}", a, place),
        f"{update}({a}, {h}, {units});",
    ]


def _gru_bias(bias: Float | None, units: int, reset_after: bool) -> Float | None:
    """Return the biases in the order of the sums; those of z and r are added and rounded once."""
    if bias is None:
        return None
    both = np.atleast_2d(bias).astype(np.float64)
    z, r, candidate = np.split(both.sum(axis=0), GATES["gru"])
    if not reset_after:
        return np.concatenate([candidate, z, r]).astype(np.float32)
    first, last = both[0, 2 * units :], both[1, 2 * units :]
    return np.concatenate([first, z, r, last]).astype(np.float32)


_CELLS = {"simple_rnn": _simple_rnn, "gru": _gru, "lstm": _lstm}
