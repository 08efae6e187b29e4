"""Choose the loop over time in which each node runs, and the values kept for all steps.

A model whose layers all run forward is one loop, whose body is one step. A layer that runs backward
needs a loop of its own; what passes from one loop to another is kept for every step. Masks are
recomputed where they are needed.
"""

from dataclasses import dataclass, field

from rnn_deploy.c.ir import MASK_NODES, AttentionNode, CellNode, ConvNode, Node, Program, Value


@dataclass
class Loop:
    """One loop over the steps of `time`; after: nodes that need its last step's values."""

    time: str
    reverse: bool
    nodes: list[Node] = field(default_factory=list)
    after: list[Node] = field(default_factory=list)


@dataclass
class Schedule:
    """before: nodes that need no step. kept: values over time that another loop reads, by id.

    made_in: the loop of each value that a node makes, by id; -1 before all of them.
    """

    program: Program
    before: list[Node] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    kept: dict[int, Value] = field(default_factory=dict)
    made_in: dict[int, int] = field(default_factory=dict)
    masks: dict[int, Node] = field(default_factory=dict)

    @property
    def by_steps(self) -> bool:
        """Return whether one step can be computed after the other, as it comes."""
        starts = any(node.initial for node in self.program.cells)
        if len(self.loops) != 1 or self.loops[0].reverse or starts:
            return False
        looks = [n for n in self.program.nodes if isinstance(n, AttentionNode)]
        return all(value.time != self.loops[0].time for node in looks for value in node.whole)

    def parts_of_mask(self, mask: Value) -> list[Node]:
        """Return the nodes that compute a mask, in order; none for one that is an input."""
        node = self.masks.get(id(mask))
        if node is None:
            return []
        return [part for value in node.inputs for part in self.parts_of_mask(value)] + [node]


def schedule(program: Program) -> Schedule:
    """Place every node of a program."""
    plan = Schedule(program)
    plan.made_in = {id(value): -1 for value in program.inputs}
    flipped: set[int] = set()  # values stored in the order of their computation
    for node in program.nodes:
        if isinstance(node, MASK_NODES):
            plan.masks[id(node.y)] = node
            continue
        inputs = _inputs_of(plan, node)
        if node.x.time is None:
            _place_without_time(plan, node, inputs)
            continue
        least = 0
        whole = {id(value) for value in node.whole} if isinstance(node, AttentionNode) else set()
        for value in inputs:
            made = plan.made_in[id(value)]
            next_one = value.time is None or id(value) in flipped or id(value) in whole
            least = max(least, made + 1 if next_one and made >= 0 else made)
        index = _loop_for(plan, node, max(least, 0))
        plan.loops[index].nodes.append(node)
        for value in node.outputs:
            plan.made_in[id(value)] = index
        for value in inputs:
            made = plan.made_in[id(value)]
            if value.time is not None and -1 < made != index:
                plan.kept[id(value)] = value
        if isinstance(node, CellNode) and node.reverse and not node.aligned:
            flipped.add(id(node.y))
    return plan


def _inputs_of(plan: Schedule, node: Node) -> list[Value]:
    """Return the values a node reads; in place of masks, what they are computed from."""
    found = []
    for value in node.inputs:
        parts = plan.parts_of_mask(value)
        inner = [v for part in parts for v in part.inputs if id(v) not in plan.masks]
        found += inner if parts else [value]
    return found


def _place_without_time(plan: Schedule, node: Node, inputs: list[Value]) -> None:
    index = max(plan.made_in[id(value)] for value in inputs)
    (plan.before if index < 0 else plan.loops[index].after).append(node)
    for value in node.outputs:
        plan.made_in[id(value)] = index


def _loop_for(plan: Schedule, node: Node, least: int) -> int:
    """Return the first loop from `least` on that a node can run in, or a new one."""
    assert node.x.time is not None
    directed = isinstance(node, CellNode | ConvNode)
    reverse = isinstance(node, CellNode) and node.reverse
    for index in range(least, len(plan.loops)):
        loop = plan.loops[index]
        if loop.time == node.x.time and (not directed or loop.reverse == reverse):
            return index
    plan.loops.append(Loop(node.x.time, reverse))
    return len(plan.loops) - 1
