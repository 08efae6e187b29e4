"""README.md of a Triton package."""

from collections.abc import Sequence
from importlib.resources import files

from rnn_deploy.packaging.triton.config import DATA_TYPES, IDLE_SECONDS, PYTHON, ModelConfig

_PYTHON = """
The models run on Triton's Python backend. Its environment needs numpy and onnxruntime.
"""
_SEQUENCES = """
## Sequences

`@NAME@` keeps the states in the server. Send each request with batch 1, with a sequence id that is
not 0, with `sequence_start` on the first request and `sequence_end` on the last. After
@IDLE@ s without a request Triton forgets the sequence.

```python
import numpy as np
import tritonclient.http as triton

client = triton.InferenceServerClient("127.0.0.1:8000")
x = np.zeros(@SHAPE@, "@DTYPE@")
fed = triton.InferInput("@INPUT@", x.shape, "@TYPE@")
fed.set_data_from_numpy(x)
result = client.infer("@NAME@", [fed], sequence_id=1, sequence_start=True)
print(result.as_numpy("@OUTPUT@"))
```
"""


def readme(model: str, configs: Sequence[ModelConfig]) -> str:
    """Return the file's text."""
    lines = ["| model | inputs | outputs | batches |", "|---|---|---|---|"]
    for config in configs:
        inputs, outputs = (
            ", ".join(f"{port.name} {port.dtype}{list(port.dims)}" for port in ports)
            for ports in (config.inputs, config.outputs)
        )
        how = "of sequences" if config.states else "dynamic" if config.max_batch else "none"
        lines.append(f"| {config.name} | {inputs} | {outputs} | {how} |")
    text = files(__package__).joinpath("templates", "readme.txt").read_text(encoding="utf-8")
    values = {
        "@MODEL@": model.replace("`", "'").replace("\n", " "),
        "@MODELS@": "\n".join(lines),
        "@PYTHON@": _PYTHON if any(c.backend == PYTHON for c in configs) else "",
        "@SEQUENCES@": next((_sequences(c) for c in configs if c.states), ""),
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _sequences(config: ModelConfig) -> str:
    if len(config.inputs) > 1:
        text = _SEQUENCES.partition("```python")[0] + "check.py shows how.\n"
    else:
        text = _SEQUENCES
    port = config.inputs[0]
    shape = (1, *(1 if dim < 0 else dim for dim in port.dims))
    values = {
        "@NAME@": config.name,
        "@IDLE@": str(IDLE_SECONDS),
        "@SHAPE@": repr(shape),
        "@DTYPE@": port.dtype,
        "@INPUT@": port.name,
        "@TYPE@": DATA_TYPES[port.dtype],
        "@OUTPUT@": config.outputs[0].name,
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text
