"""Where everything lies: the state's fields, the arguments of the functions, the work memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rnn_deploy.c.ir import CellNode, ConvNode, DiffersNode, KeepNode, LookupNode, Node, Value
from rnn_deploy.c.names import Names
from rnn_deploy.c.schedule import Schedule
from rnn_deploy.spec import StateKey

C_TYPES = {"float32": "float", "int32": "int32_t", "int64": "int64_t", "bool": "unsigned char"}


@dataclass(frozen=True)
class Field:
    """An array of `size` floats in the state. key: the layer and role it is for."""

    name: str
    size: int
    key: StateKey


@dataclass
class Layout:
    """Names and sizes of one model. steps: the argument for each symbol of time.

    fields: of the state; the recurrent states that a caller may set come first, in the order of
    the entry point, and are `free` in number.
    """

    plan: Schedule
    names: Names = field(default_factory=Names)
    fields: list[Field] = field(default_factory=list)
    free: int = 0

    def __post_init__(self) -> None:
        program = self.plan.program
        self.inputs = [self.names.of(id(v), v.name, report=True) for v in program.inputs]
        self.outputs = [self.names.of(("out", n), n, report=True) for n, _ in program.outputs]
        times = dict.fromkeys(value.time for value in program.inputs if value.time)
        self.steps = {
            time: "steps" if len(times) == 1 else self.names.of(("steps", time), f"steps_{time}")
            for time in times
        }
        self.mask_root = self._mask_root()

    def place_states(self, order: Sequence[StateKey]) -> None:
        """Lay out the state. order: of the states that the entry point has."""
        sizes: dict[StateKey, int] = {}
        for cell in (node.cell for node in self.plan.program.cells):
            sizes |= {(cell.name, role): cell.units for role in cell.roles}
        rest = [key for key in sizes if key not in order]
        keys = [(key, sizes[key]) for key in (*order, *rest)]
        for node in self.plan.program.nodes:
            keys += [((node.layer, role), size) for role, size in _extra(node)]
        for key, size in keys:
            name = self.names.of(("state", key), f"{key[0]}_{key[1]}")
            self.fields.append(Field(name, size, key))
        self.free = len(order)

    def field_of(self, key: StateKey) -> Field:
        return next(field for field in self.fields if field.key == key)

    @property
    def floats(self) -> int:
        """How many floats the state has."""
        return sum(field.size for field in self.fields)

    @property
    def kept(self) -> list[Value]:
        """Values that are kept for every step in work memory: those that no output holds."""
        outputs = {id(value) for _, value in self.plan.program.outputs}
        return [value for key, value in self.plan.kept.items() if key not in outputs]

    @property
    def lookups(self) -> list[LookupNode]:
        return [node for node in self.plan.program.nodes if isinstance(node, LookupNode)]

    def _mask_root(self) -> tuple[int, float] | None:
        """Return the input, by id, and the value of the one comparison that all masks come from."""
        nodes = (n for n in self.plan.program.nodes if isinstance(n, DiffersNode | KeepNode))
        roots = {(id(node.x), node.value) for node in nodes}
        own = {id(value) for value in self.plan.program.inputs}
        return next(iter(roots)) if len(roots) == 1 and next(iter(roots))[0] in own else None


def _extra(node: Node) -> list[tuple[str, int]]:
    """What a node keeps in the state besides a cell's states."""
    if isinstance(node, CellNode) and node.cell.carries_output:
        return [("output", node.cell.units)]
    if isinstance(node, ConvNode) and node.past:
        return [("window", node.past * node.x.size)]
    return []
