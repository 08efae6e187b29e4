"""The support table as Markdown: how many models of each theme work on each runtime.

It follows from the suite: every case works, except the known gaps, which are strict.
"""

from collections.abc import Sequence

from rnn_deploy.conformance.cases import THEMES, ConformanceCase
from rnn_deploy.conformance.gaps import gap_of

# A column's title, the form in which models are exported, and the runtime.
COLUMNS = (
    ("ort-cpu", "auto", "ort-cpu"),
    ("litert", "auto", "litert"),
    ("openvino-cpu", "auto", "openvino-cpu"),
    ("openvino-cpu, portable", "scan", "openvino-cpu"),
)


def support_table() -> str:
    """Return the table, one line for each theme."""
    head = ["", *(column for column, _, _ in COLUMNS)]
    lines = [_line(head), _line(["---"] * len(head))]
    for theme, cases in THEMES.items():
        lines.append(_line([theme, *(_cell(cases, form, runtime) for _, form, runtime in COLUMNS)]))
    return "\n".join(lines)


def _cell(cases: Sequence[ConformanceCase], form: str, runtime: str) -> str:
    format = "tflite" if runtime == "litert" else "onnx"
    there = [case for case in cases if format in case.formats]
    right = [case for case in there if gap_of(case.name, form, runtime) is None]
    return f"{len(right)} of {len(cases)}" if len(right) < len(cases) else f"all {len(cases)}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
