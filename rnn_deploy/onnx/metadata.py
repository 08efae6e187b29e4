"""The metadata of an ONNX file: producer, opset, source, layers and states."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir
from onnx import version_converter

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.onnx.format import IR_VERSIONS, OPSET
from rnn_deploy.spec import EntryPoint


@dataclass(frozen=True)
class ModelMetadata:
    """The metadata of one file. layers: the Keras layers after which nodes are named."""

    producer: str
    opset: int = OPSET
    source: str = ""
    layers: Collection[str] = field(default=(), repr=False)


def in_opset(model: ir.Model, opset: int) -> ir.Model:
    """Convert the model to another opset; raise UnsupportedModelError if an operator lacks it."""
    converted = model
    if opset != OPSET:
        try:
            proto = version_converter.convert_version(ir.to_proto(model), opset)
        except Exception as error:  # the converter raises several types
            raise UnsupportedModelError(
                "E-MODEL-OPSET",
                f"the model cannot be written in opset {opset}: {one_line(error)}; use --opset"
                f" {OPSET}, the default",
            ) from error
        converted = ir.from_proto(proto)
    converted.ir_version = IR_VERSIONS[opset]
    return converted


def write_label(
    model: ir.Model, label: ModelMetadata, entry: EntryPoint, choices: Sequence[LoweringChoice]
) -> None:
    """Write producer, source, layers and states into the model's metadata."""
    model.producer_name, model.producer_version = "rnn_deploy", label.producer
    layers = ", ".join(f"{c.layer}: {c.cell}({c.units}) as {c.lowering}" for c in choices)
    states = ", ".join(f"{state.tensor.name} -> {state.next_name}" for state in entry.states)
    facts = {"entry": entry.name, "source": label.source, "layers": layers, "states": states}
    model.metadata_props.update({f"rnn_deploy.{k}": v for k, v in facts.items() if v})
