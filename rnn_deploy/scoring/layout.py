"""Find the columns of a table with the key and the inputs.

A table has a list column for each input and a row for each sequence, or it is long: a row for each
step, columns for the key and the features, the rows of a sequence one after another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.errors import InputError
from rnn_deploy.inference.lengths import has_time
from rnn_deploy.inference.preprocessing import TEXT, Preprocessing, raw_spec
from rnn_deploy.inference.tables import Table, TableRules, feature_columns
from rnn_deploy.optional import require
from rnn_deploy.scoring.arrow import depth_of, is_list, is_number
from rnn_deploy.spec import SEQUENCE, EntryPoint, TensorSpec

ROW = "row"  # the column of the keys if the input has none


@dataclass(frozen=True)
class Inputs:
    """The inputs as users supply them, the columns that they name, and the feature names."""

    tensors: tuple[TensorSpec, ...]
    rules: TableRules
    known: tuple[str, ...] = ()

    @property
    def key_name(self) -> str:
        """Return the name of the column of keys in the output."""
        return self.rules.id or ROW

    @property
    def only(self) -> TensorSpec | None:
        """Return the input, if there is only one."""
        return self.tensors[0] if len(self.tensors) == 1 else None


def inputs_of(bundle: Bundle, rules: TableRules) -> Inputs:
    """Return the inputs of a bundle, before its preprocessing."""
    attached = attachments_of(bundle)
    steps = Preprocessing(attached.steps)
    entry: EntryPoint = bundle.manifest.entry(SEQUENCE)
    known = tuple(attached.features.get(entry.inputs[0].name, ()))
    return Inputs(tuple(raw_spec(tensor, steps) for tensor in entry.inputs), rules, known)


@dataclass(frozen=True)
class TableLayout:
    """Columns by role. columns: the list column of each input. features: those of a long table."""

    inputs: Inputs
    columns: Mapping[str, str]
    features: tuple[str, ...] = ()

    @property
    def is_long(self) -> bool:
        """Return whether each row of the table is one step."""
        return bool(self.features)

    @property
    def names(self) -> list[str]:
        """Return all columns that are read."""
        special = [name for name in (self.inputs.rules.id, self.inputs.rules.time) if name]
        return list(dict.fromkeys([*special, *self.columns.values(), *self.features]))


def layout_of(schema: Any, inputs: Inputs, where: str) -> TableLayout:
    """Return the roles of a table's columns; raise InputError if one is missing or does not fit."""
    rules = inputs.rules
    names = tuple(schema.names)
    for name in (rules.id, rules.time):
        if name is not None and name not in names:
            raise InputError(
                "E-DATA-COLUMN", f"{where}: has no column '{name}', only {', '.join(names)}"
            )
    if rules.id is not None:
        refuse_key_type(schema.field(rules.id).type, f"{where}: column '{rules.id}'")
    given = {t.name: t.name for t in inputs.tensors if t.name in names}
    if inputs.only is not None and len(rules.features) == 1 and rules.time is None:
        given = {inputs.only.name: rules.features[0]}
    lists = all(column in names and _is_row(schema.field(column).type, tensor)
                for tensor in inputs.tensors if (column := given.get(tensor.name)))  # fmt: skip
    if rules.time is None and len(given) == len(inputs.tensors) and lists:
        for tensor in inputs.tensors:
            _refuse_type(schema.field(given[tensor.name]).type, tensor, where, given[tensor.name])
        return TableLayout(inputs, given)
    return _long_layout(schema, inputs, where)


def _is_row(kind: Any, tensor: TensorSpec) -> bool:
    """Return whether a column has a whole sequence in each row."""
    return is_list(kind) or len(tensor.shape) == 1 or tensor.dtype == TEXT


def _refuse_type(kind: Any, tensor: TensorSpec, where: str, column: str) -> None:
    depth, value = depth_of(kind)
    types = require("pyarrow.types")
    rank = len(tensor.shape) - 1
    if tensor.dtype == TEXT:
        fits = depth == rank and (types.is_string(value) or types.is_large_string(value))
    else:
        flat = rank == 2 and depth == 1 and tensor.shape[2] == 1
        fits = (depth == rank or flat) and is_number(value)
    if not fits:
        words = "text" if tensor.dtype == TEXT else "numbers"
        raise InputError(
            "E-DATA-TYPE",
            f"{where}: column '{column}' has the type {kind}; input '{tensor.name}' takes"
            f" {words} in {rank} levels of lists",
        )


def _long_layout(schema: Any, inputs: Inputs, where: str) -> TableLayout:
    rules, names = inputs.rules, tuple(schema.names)
    tensor = inputs.only
    others = [name for name in names if name not in (rules.id, rules.time)]
    lists = not others or any(is_list(schema.field(name).type) for name in others)
    whole_rows = rules.time is None and not rules.features and lists
    if tensor is None or not has_time(tensor) or whole_rows:
        missing = next((t.name for t in inputs.tensors if t.name not in names), names[0])
        raise InputError(
            "E-DATA-COLUMN",
            f"{where}: expected a list column for each input, and found none called '{missing}'"
            f" among {', '.join(names)}; rename it",
        )
    if rules.id is None:
        raise InputError(
            "E-DATA-COLUMN",
            f"{where}: has no list column '{tensor.name}', only {', '.join(names)}; rename it, name"
            " it with --features, or for a table with a row for each step add --sequence COLUMN",
        )
    table = Table(Path(where), names, {0: names})
    columns, _ = feature_columns(table, rules, None, inputs.known)
    width = tensor.shape[2] if len(tensor.shape) > 2 else 1
    if isinstance(width, int) and len(columns) != width:
        shown = ", ".join(names[index] for index in columns)
        raise InputError(
            "E-DATA-FEATURES",
            f"{where}: expected {width} features, got {len(columns)} columns ({shown}); name the"
            " columns: --features A,B,..., and the time of the steps with --order COLUMN",
        )
    features = tuple(names[index] for index in columns)
    for name in features:
        if not is_number(schema.field(name).type):
            raise InputError(
                "E-DATA-TYPE",
                f"{where}: column '{name}' has the type {schema.field(name).type}, and features are"
                " numbers; name them with --features A,B,...",
            )
    return TableLayout(inputs, {}, features)


def refuse_key_type(kind: Any, what: str) -> None:
    """Raise InputError for keys that are neither whole numbers nor text."""
    types = require("pyarrow.types")
    if types.is_dictionary(kind):
        kind = kind.value_type
    text = types.is_string(kind) or types.is_large_string(kind)
    if not (types.is_integer(kind) or text):
        raise InputError(
            "E-DATA-TYPE", f"{what} has the type {kind}; a key is a whole number or text"
        )
