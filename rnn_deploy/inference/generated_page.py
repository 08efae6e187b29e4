"""Generated sequences and their attention as one HTML page that needs no second file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.inference.strategies import Generated
from rnn_deploy.spec import Array
from rnn_deploy.templates import rendered


@dataclass(frozen=True)
class ShownSequence:
    """One generated sequence with the names of its tokens.

    source, output: texts. sources, tokens: the tokens of each, one for each column and row of a
    heat map.
    """

    source: str
    output: str
    sources: Sequence[str]
    tokens: Sequence[str]
    generated: Generated

    @property
    def probability(self) -> float:
        """The probability of the whole sequence."""
        return float(np.exp(self.generated.score))

    @property
    def maps(self) -> Mapping[str, Array]:
        """Weights (tokens, source steps) by output name; the mean of several heads."""
        return {
            name: value if value.ndim == 2 else value.mean(axis=tuple(range(1, value.ndim - 1)))
            for name, value in self.generated.attention.items()
        }


def html_from_generated(title: str, shown: Sequence[ShownSequence]) -> str:
    """Return the page. Raises MissingExtraError without the packages of the extra `report`."""
    return rendered("rnn_deploy.inference", "generated_page.html", {"title": title, "shown": shown})
