"""The functions of model.c: one step, whole sequences, reset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rnn_deploy.c.blocks import Use
from rnn_deploy.c.ir import AllMasksNode, CellNode, DiffersNode, Node, Value
from rnn_deploy.c.layout import C_TYPES, Layout
from rnn_deploy.c.nodes import statements
from rnn_deploy.c.place import Lines, number
from rnn_deploy.c.schedule import Loop
from rnn_deploy.c.weights import WeightTable


@dataclass
class FunctionWriter:
    """Writes the functions of one model; the nodes' statements ask it where things lie."""

    layout: Layout
    weights: WeightTable = field(default_factory=WeightTable)  # says how matrices are stored
    uses: set[Use] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.plan = self.layout.plan
        self.program = self.plan.program
        self.by_steps = self.plan.by_steps
        self._loop: int | None = None  # the loop that is being written; None outside of all
        self._locals: dict[str, int] = {}
        self._scratch = 0
        self._masks: dict[object, str] = {}
        self._lines: Lines = []
        self._cells = {id(v): node for node in self.program.cells for v in node.outputs}

    # The methods of place.Place, which the nodes call.

    def use(self, block: str, act: str = "", gate: str = "") -> str:
        """Return the name of a function, which is then written."""
        self.uses.add(Use(block, act, gate))
        return "_".join(["model", block, *(part for part in (act, gate) if part)])

    def scratch(self, floats: int) -> str:
        """Return the scratch array, made at least so large."""
        self._scratch = max(self._scratch, floats)
        return "a"

    def state(self, node: Node, role: str) -> str:
        """Return a field of the state."""
        layer = node.cell.name if isinstance(node, CellNode) else node.layer
        return f"state->{self.layout.field_of((layer, role)).name}"

    def ref(self, value: Value) -> str:
        """Return where a value lies, as an expression of a pointer."""
        if any(value is given for given in self.program.inputs):
            return self._at_step(self.layout.names.of(id(value), value.name), value)
        node = self._cells.get(id(value))
        if node is not None and (value.time is None or self.plan.made_in[id(value)] == self._loop):
            return self._of_cell(node, value)
        whole = self._whole(value)
        if whole is not None:
            return self._at_step(whole, value)
        name = self.layout.names.of(id(value), value.name)
        self._locals[name] = value.size
        return name

    def mask(self, value: Value) -> str:
        """Return the name of a mask's variable, computed first where it is not known yet."""
        if id(value) in self._masks:
            return self._masks[id(value)]
        node = self.plan.masks.get(id(value))
        if node is None:
            condition = f"{self.ref(value)}[0] != 0"
        elif isinstance(node, DiffersNode):
            condition = self.counts(node.x, node.value)
        else:
            assert isinstance(node, AllMasksNode)
            condition = (" || " if node.any else " && ").join(map(self.mask, node.inputs))
        return self._condition(id(value), condition)

    def counts(self, x: Value, value: float) -> str:
        """The variable that says whether a step differs from a value, or the caller's mask."""
        key = ("counts", id(x), value)
        if key in self._masks:
            return self._masks[key]
        if x.dtype == "float32":
            differs = f"{self.use('differs')}({self.ref(x)}, {x.size}, {number(value)})"
        else:
            differs = f"{self.ref(x)}[0] != {int(value)}"
        if self.layout.mask_root == (id(x), value):
            given = self._at_step("mask", x)
            differs = f"mask ? {given}[0] != 0 : {differs}"
        return self._condition(key, differs)

    def _condition(self, key: object, condition: str) -> str:
        name = self.layout.names.of(("mask", self._loop, key), f"counts_{len(self._masks)}")
        self._masks[key] = name
        self._lines.append(f"const int {name} = {condition};")
        return name

    def _of_cell(self, node: CellNode, value: Value) -> str:
        if value is not node.y:
            return self.state(node, node.cell.roles[node.outputs.index(value) - 1])
        return self.state(node, "output" if node.cell.carries_output else "h")

    def _whole(self, value: Value) -> str | None:
        """Return the array of a value for every step: an output's, or one in work memory."""
        output = next((n for n, v in self.program.outputs if v is value), None)
        if output is not None:
            return self.layout.names.of(("out", output), output)
        kept = any(value is other for other in self.layout.kept)
        return self.layout.names.of(("kept", id(value)), f"all_{value.name}") if kept else None

    def _at_step(self, name: str, value: Value, index: str = "t") -> str:
        if value.time is None or self.by_steps:
            return name
        return f"({name} + {index} * {value.size})" if value.size > 1 else f"({name} + {index})"

    # The bodies.

    def body(self, nodes: Sequence[Node], loop: int | None) -> Lines:
        """Declarations and statements of some nodes, in the loop with that number."""
        self._loop, self._locals, self._scratch, self._masks = loop, {}, 0, {}
        lines: Lines = []
        for node in nodes:
            self._lines = []
            written = [*statements(node, self), *self._stores(node)]
            lines += [*self._lines, *written]
        lines += self._copies(loop)
        declared = [f"float {name}[{size}];" for name, size in self._locals.items()]
        if self._scratch:
            declared.append(f"float a[{self._scratch}];")
        if any("(j = 0;" in line for line in lines):
            declared.append("size_t j;")
        return [*declared, *lines]

    def _stores(self, node: Node) -> Iterator[str]:
        """Copies of a cell's results to where another loop, or the caller, reads them."""
        if not isinstance(node, CellNode) or node.y.time is None:
            return
        whole = self._whole(node.y)
        if whole is None:
            return
        steps = self.layout.steps[node.y.time]
        turned = node.reverse and not node.aligned
        target = self._at_step(whole, node.y, f"({steps} - 1 - t)" if turned else "t")
        size = node.y.size
        yield f"memcpy({target}, {self._of_cell(node, node.y)}, {size} * sizeof(float));"

    def _copies(self, loop: int | None) -> Iterator[str]:
        """Outputs that are inputs, or that are values which another output has already."""
        written: set[int] = set()
        for name, value in self.program.outputs:
            is_input = any(value is given for given in self.program.inputs)
            here = 0 if value.time is not None else None
            if (is_input or id(value) in written) and loop == here and value.time is not None:
                target = self._at_step(self.layout.names.of(("out", name), name), value)
                yield f"memcpy({target}, {self.ref(value)}, {value.size} * sizeof(float));"
            written.add(id(value))

    def rest(self, nodes: Sequence[Node]) -> Lines:
        """Nodes outside of loops, and the outputs that have no time."""
        lines = self.body(nodes, None)
        made = {id(value) for node in nodes for value in node.outputs}
        written: set[int] = set()
        for name, value in self.program.outputs:
            direct = id(value) in made and id(value) not in written
            if value.time is None and not direct and self._known(value, made):
                target = self.layout.names.of(("out", name), name)
                lines.append(f"memcpy({target}, {self.ref(value)}, {value.size} * sizeof(float));")
            written.add(id(value))
        return lines

    def _known(self, value: Value, made: set[int]) -> bool:
        return id(value) in made or id(value) in self._cells or self.plan.made_in[id(value)] < 0

    def arguments(self, *, whole: bool) -> list[str]:
        """Return the parameters of model_run (whole) or model_step."""
        given = ["model_state *state"]
        for name, value in zip(self.layout.inputs, self.program.inputs, strict=True):
            given.append(f"const {C_TYPES[value.dtype]} *{name}")
        if self.layout.mask_root is not None:
            given.append("const unsigned char *mask")
        given += [f"size_t {name}" for name in self.layout.steps.values()] if whole else []
        given += [f"float *{name}" for name in self.layout.outputs]
        return [*given, "float *work"] if whole and not self.by_steps else given

    def checks_of_ids(self, *, whole: bool) -> Lines:
        """Token ids are checked before anything is written."""
        lines: Lines = []
        for node in self.layout.lookups:
            count, ids = len(node.table), self.layout.names.of(id(node.x), node.x.name)
            one = f"{ids}[t]" if whole else f"{ids}[0]"
            if node.x.dtype == "float32":
                bad = f"!({one} > {-count - 1}.0f && {one} < {count}.0f)"
            else:
                bad = f"{one} < -{count} || {one} >= {count}"
            check = [f"if ({bad}) {{", "    return MODEL_BAD_ID;", "}"]
            if whole:
                assert node.x.time is not None
                head = f"for (t = 0; t < {self.layout.steps[node.x.time]}; t++) {{"
                check = [head, *(f"    {line}" for line in check), "}"]
            lines += check
        return lines

    def starts(self, loop: Loop) -> Lines:
        """Before a loop: states that the model itself gives, and the outputs beside them."""
        lines: Lines = []
        for node in loop.nodes:
            if not isinstance(node, CellNode) or not node.initial:
                continue
            for role, value in zip(node.cell.roles, node.initial, strict=True):
                size = f"{value.size} * sizeof(float)"
                lines.append(f"memcpy({self.state(node, role)}, {self.ref(value)}, {size});")
            if node.cell.carries_output:
                size = f"{node.cell.units} * sizeof(float)"
                lines.append(f"memset({self.state(node, 'output')}, 0, {size});")
        return lines

    def loops(self) -> list[tuple[Loop, Lines]]:
        """Return each loop and its body."""
        pairs = enumerate(self.plan.loops)
        return [(loop, self.body(loop.nodes, index)) for index, loop in pairs]
