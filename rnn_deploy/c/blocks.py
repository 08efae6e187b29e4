"""The functions in snippets/*.c, each a named block: select those that a model needs, in order.

    /* @block NAME[: what it does] [needs NAME ...] [unless|if MACRO] */

A block exists once, or twice if a macro chooses between two forms. `@ACT@` and `@GATE@` in a block
are placeholders of activations; such a block is written once for each pair in the model.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FILES = ("activations.c", "kernels.c")
_HEAD = re.compile(
    r"/\* @block (\w+)(?::[^*]*?)?(?: needs ([\w ]+?))?(?: (unless|if) (\w+))? \*/\n"
)


@dataclass(frozen=True)
class Block:
    """One function. needs: blocks that it calls; condition: the macro that chooses it."""

    name: str
    text: str
    needs: tuple[str, ...]
    condition: tuple[str, str] | None


@dataclass(frozen=True, order=True)
class Use:
    """A block and its activations."""

    block: str
    act: str = ""
    gate: str = ""


@cache
def blocks() -> tuple[Block, ...]:
    """Return all blocks in the order in which they can be compiled."""
    found: list[Block] = []
    for name in FILES:
        text = files("rnn_deploy.c").joinpath("snippets", name).read_text(encoding="utf-8")
        parts = _HEAD.split(text)
        for block, needs, word, macro, body in zip(
            *[parts[i::5] for i in range(1, 6)], strict=True
        ):
            condition = (word, macro) if word else None
            found.append(
                Block(block, body.rstrip() + "\n", tuple((needs or "").split()), condition)
            )
    return tuple(found)


def source_of(uses: Iterable[Use]) -> str:
    """Return the C text of the blocks in use and of all that they need."""
    used = set(uses)
    waiting = list(used)
    while waiting:
        use = waiting.pop()
        needs = {n for block in blocks() if block.name == use.block for n in block.needs}
        new = {Use(name) for name in (*needs, use.act, use.gate) if name} - used
        used |= new
        waiting += new
    return "\n".join(
        _written(block, use)
        for block in blocks()
        for use in sorted(used)
        if use.block == block.name
    )


def _written(block: Block, use: Use) -> str:
    text = block.text.replace("@ACT@", use.act).replace("@GATE@", use.gate)
    if block.condition is None:
        return text
    word, macro = block.condition
    return f"#{'ifndef' if word == 'unless' else 'ifdef'} {macro}\n{text}#endif\n"
