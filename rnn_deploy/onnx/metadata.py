"""What an ONNX model says of itself: its maker, its opset, its source, its layers and states."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir
from onnx import version_converter

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import InputError, UnsupportedModelError, one_line
from rnn_deploy.onnx.tf2onnx_graph import OPSET
from rnn_deploy.spec import EntryPoint

# The oldest IR version that may carry an opset, so that the oldest runtimes load it.
IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}


@dataclass(frozen=True)
class ModelMetadata:
    """What is written on a model. layers: the Keras layers' names, by which nodes are named."""

    producer: str
    opset: int = OPSET
    source: str = ""
    layers: Collection[str] = field(default=(), repr=False)


def check_opset(opset: int) -> None:
    """Raise InputError for an opset that is not written."""
    if opset not in IR_VERSIONS:
        least, most = min(IR_VERSIONS), max(IR_VERSIONS)
        raise InputError(f"--opset {opset}: there are {least} to {most}")


def in_opset(model: ir.Model, opset: int) -> ir.Model:
    """The model in another opset; UnsupportedModelError when an operator cannot be taken there."""
    converted = model
    if opset != OPSET:
        try:
            proto = version_converter.convert_version(ir.to_proto(model), opset)
        except Exception as error:  # the converter raises several types of its own
            raise UnsupportedModelError(
                f"the model cannot be written in opset {opset}: {one_line(error)}; leave --opset"
                f" out ({OPSET})"
            ) from error
        converted = ir.from_proto(proto)
    converted.ir_version = IR_VERSIONS[opset]
    return converted


def write_label(
    model: ir.Model, label: ModelMetadata, entry: EntryPoint, choices: Sequence[LoweringChoice]
) -> None:
    """Write maker, source, layers and states into the model's metadata."""
    model.producer_name, model.producer_version = "rnn_deploy", label.producer
    layers = ", ".join(f"{c.layer}: {c.cell}({c.units}) as {c.lowering}" for c in choices)
    states = ", ".join(f"{state.tensor.name} -> {state.next_name}" for state in entry.states)
    facts = {"entry": entry.name, "source": label.source, "layers": layers, "states": states}
    model.metadata_props.update({f"rnn_deploy.{k}": v for k, v in facts.items() if v})
