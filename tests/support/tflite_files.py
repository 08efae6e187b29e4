"""Convert a model to TFLite and compare every signature with the oracle."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema

from rnn_deploy.exporting.plan import plan_of, with_chunks
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.references.reference import Reference
from rnn_deploy.references.samples import draw
from rnn_deploy.spec import Support
from rnn_deploy.tflite import writer as tflite
from rnn_deploy.tflite.format import request_from

TIGHT = 2e-6
OPTIONS = {"return_sequences": True, "return_state": True}


def parts_for(model, lowering="auto", time=None):
    """Return the parts to convert of a model that can run in chunks."""
    options = ExportOptions(tflite_lowering=lowering, time=time)
    plan = with_chunks(plan_of(model, options), Support(True))
    return tflite.parts_of(plan, request_from(options))


def custom_operators(content):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    assert model.operatorCodes
    return [code.customCode for code in model.operatorCodes if code.customCode]


def feeds_for(entry, batch, time, seed=0):
    rng = np.random.default_rng(seed)
    return draw(entry.all_inputs, {"batch": batch, "time": time}, rng)


def assert_same(found, truth):
    assert set(found) == set(truth)
    for name, value in truth.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, rtol=0, atol=TIGHT, equal_nan=False)


def compared(model, lowering, shapes, time=None):
    """Convert with a lowering; every signature over several shapes against float64."""
    parts = parts_for(model, lowering, time)
    content = tflite.convert(model, parts)
    entries = {part.entry.name: part.entry for part in parts}
    for part in parts:
        whole = entries["stream"] if part.entry.name == "step" else part.entry
        reference = Reference(model, whole, "float64")
        runner = Interpreter(model_content=content).get_signature_runner(part.entry.name)
        for batch, steps in shapes:
            length = part.entry.inputs[0].shape[1]
            steps = length if isinstance(length, int) else steps
            feeds = feeds_for(part.entry, batch, steps, seed=steps)
            assert_same(runner(**feeds), reference.run(feeds))
    assert custom_operators(content) == []
    return {part.entry.name: part.choices for part in parts}
