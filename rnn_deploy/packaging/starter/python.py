"""`--for python`: a class of about 15 lines on NumPy and ONNX Runtime, and its self-check."""

from collections.abc import Mapping

from rnn_deploy.bundle import Bundle
from rnn_deploy.packaging.base import PackageFiles, Packager
from rnn_deploy.packaging.starter.names import quoted, shown
from rnn_deploy.packaging.starter.program import StarterProgram, preparation, program_of
from rnn_deploy.packaging.starter.vectors import check_cases, npz_of
from rnn_deploy.spec import Dim, TensorSpec

RESERVED = (
    *("np", "ort", "Path", "Model", "FILE", "self", "batch", "states", "outputs", "feeds"),
    *("dict", "zip", "range", "print", "model", "t", "name", "value"),
)


def make(bundle: Bundle, options: Mapping[str, str]) -> PackageFiles:
    """Return the program, the model file, golden vectors and a README."""
    program = program_of(bundle, "onnx", "ort-cpu", RESERVED)
    files = {
        "model.py": model_source(program).encode(),
        "example.py": _example(program).encode(),
        "check.py": _check(program).encode(),
        "golden.npz": npz_of(check_cases(program)),
        "requirements.txt": b"numpy>=1.26\nonnxruntime>=1.20\n",
        "README.md": _readme(program).encode(),
        **program.model_files(),
    }
    return PackageFiles(files, ("check it: pip install -r requirements.txt && python check.py",))


def model_source(program: StarterProgram) -> str:
    """Return model.py: the class that a user copies."""
    entry, names = program.entry, program.names
    arguments = ", ".join(names[t.name] for t in entry.inputs)
    outputs = ", ".join(names[t.name] for t in entry.outputs)
    fed = ", ".join(f"{quoted(t.name)}: {names[t.name]}" for t in entry.inputs)
    wanted = ", ".join(quoted(t.name) for t in entry.all_outputs)
    lines = [
        f'"""{shown(program.model)} on ONNX Runtime.',
        "",
        *(f"    {shown(_described(program, t))}" for t in (*entry.inputs, *entry.outputs)),
        '"""',
        "",
        "from pathlib import Path",
        "",
        "import numpy as np",
        "import onnxruntime as ort",
        "",
        f"FILE = Path(__file__).with_name({quoted(program.model_file)})",
        "",
        "",
        "class Model:",
        "    def __init__(self, batch=1):",
        '        self.session = ort.InferenceSession(FILE, providers=["CPUExecutionProvider"])',
    ]
    if program.streams:
        lines += [
            "        self.reset(batch)",
            "",
            "    def reset(self, batch=1):  # save and restore self.state to resume later",
            "        self.state = {",
            *(f"            {_zeros(s.tensor)}" for s in entry.states),
            "        }",
            "",
            f"    def step(self, {arguments}):  # one step or more; the state stays here",
            f"        outputs = [{wanted}]",
            f"        feeds = {{{fed}, **self.state}}",
            f"        {outputs}, *states = self.session.run(outputs, feeds)",
            "        self.state = dict(zip(self.state, states, strict=True))",
            f"        return {outputs}",
        ]
    else:
        wanted = ", ".join(quoted(t.name) for t in entry.outputs)
        one = f"{outputs}, = " if len(entry.outputs) == 1 else f"{outputs} = "
        lines = [line.replace("(self, batch=1)", "(self)") for line in lines]
        lines += [
            "",
            f"    def predict(self, {arguments}):  # whole sequences",
            f"        {one}self.session.run([{wanted}], {{{fed}}})",
            f"        return {outputs}",
        ]
        lines.remove("import numpy as np")
    return "\n".join(lines) + "\n"


def _described(program: StarterProgram, tensor: TensorSpec) -> str:
    name = program.names[tensor.name]
    return f"{name}: {tensor.dtype} ({', '.join(map(str, tensor.shape))})"


def _zeros(tensor: TensorSpec) -> str:
    dims = ", ".join("batch" if isinstance(dim, str) else str(dim) for dim in tensor.shape)
    return f"{quoted(tensor.name)}: np.zeros([{dims}], np.{tensor.dtype}),"


def _example(program: StarterProgram) -> str:
    """Return example.py, with the calls of a user's program on zeros."""
    entry, names = program.entry, program.names
    steps = 5 if program.time else 1
    first = entry.inputs[0].shape[0]
    batch = first if isinstance(first, int) else 1
    sizes = {
        t.name: (batch, *(_size(dim, program, steps) for dim in t.shape[1:])) for t in entry.inputs
    }
    made = [
        f"{names[t.name]} = np.zeros({sizes[t.name]}, np.{t.dtype})  # your data"
        for t in entry.inputs
    ]
    given = ", ".join(
        f"{names[t.name]}[:, t : t + 1]"
        if program.streams and program.is_timed(t)
        else names[t.name]
        for t in entry.inputs
    )
    if program.streams:
        calls = [
            f"model = Model(batch={batch})",
            f"for t in range({steps}):",
            f"    print(t, model.step({given}))",
            'print("state:", {name: value.shape for name, value in model.state.items()})',
        ]
    else:
        calls = ["model = Model()", f"print(model.predict({given}))"]
    head = '"""How to call the model."""\n\nimport numpy as np\n\nfrom model import Model\n\n'
    return head + "\n".join([*made, *calls]) + "\n"


def _size(dim: Dim, program: StarterProgram, steps: int) -> int:
    """Return a size for an axis; 3 for an open axis other than the steps."""
    if isinstance(dim, int):
        return dim
    return steps if dim == program.time else 3


def _check(program: StarterProgram) -> str:
    entry = program.entry

    def listed(tensors: tuple[TensorSpec, ...]) -> str:
        return "(" + "".join(f"{quoted(t.name)}, " for t in tensors).rstrip(" ") + ")"

    def timed(tensors: tuple[TensorSpec, ...]) -> str:
        return listed(tuple(t for t in tensors if program.is_timed(t)))

    text = _CHECK_STREAM if program.streams else _CHECK_WHOLE
    for key, value in {
        "@INPUTS@": listed(entry.inputs),
        "@OUTPUTS@": listed(entry.outputs),
        "@NEXT@": "{"
        + ", ".join(f"{quoted(s.tensor.name)}: {quoted(s.next_name)}" for s in entry.states)
        + "}",
        "@TIMED_IN@": timed(entry.inputs),
        "@TIMED_OUT@": timed(entry.outputs),
    }.items():
        text = text.replace(key, value)
    return text + _CHECK_END


def _readme(program: StarterProgram) -> str:
    tensors = "\n".join(
        f"| {shown(t.name)} | {kind} | {t.dtype} | {shown(', '.join(map(str, t.shape)))} |"
        for kind, group in (
            ("input", program.entry.inputs),
            ("output", program.entry.outputs),
            ("state", tuple(s.tensor for s in program.entry.states)),
        )
        for t in group
    )
    states = _STATES if program.streams else _NO_STATES
    text = _README.replace("@STATES@", states + preparation(program))
    return text.replace("@MODEL@", shown(program.model)).replace("@TENSORS@", tensors)


_CHECK_STREAM = '''\
"""Prove the model on this machine: golden vectors whole and step by step, outputs and states."""

import sys
from pathlib import Path

import numpy as np

from model import Model

INPUTS, OUTPUTS = @INPUTS@, @OUTPUTS@
NEXT = @NEXT@  # what leaves a state, by what enters it
TIMED_INPUTS, TIMED_OUTPUTS = @TIMED_IN@, @TIMED_OUT@


def run(model, feeds, steps):
    model.reset(len(feeds[INPUTS[0]]))
    model.state = {name: feeds[name] for name in model.state}
    total = next(feeds[name].shape[1] for name in TIMED_INPUTS)
    parts = []
    for start in range(0, total, steps or total):
        end = start + (steps or total)
        given = [feeds[n][:, start:end] if n in TIMED_INPUTS else feeds[n] for n in INPUTS]
        found = model.step(*given)
        parts.append(dict(zip(OUTPUTS, found if len(OUTPUTS) > 1 else [found], strict=True)))
    joined = {
        name: np.concatenate([part[name] for part in parts], axis=1)
        if name in TIMED_OUTPUTS
        else parts[-1][name]
        for name in OUTPUTS
    }
    return joined | {NEXT[name]: value for name, value in model.state.items()}


WAYS = {"whole": lambda model, feeds: run(model, feeds, None)}
WAYS["step by step"] = lambda model, feeds: run(model, feeds, 1)
'''
_CHECK_WHOLE = '''\
"""Prove the model on this machine: golden vectors of whole sequences."""

import sys
from pathlib import Path

import numpy as np

from model import Model

INPUTS, OUTPUTS = @INPUTS@, @OUTPUTS@


def run(model, feeds):
    found = model.predict(*(feeds[name] for name in INPUTS))
    return dict(zip(OUTPUTS, found if len(OUTPUTS) > 1 else [found], strict=True))


WAYS = {"whole": run}
'''
_CHECK_END = '''

def fault(found, truth, budget):
    """Return the first wrong value, or None."""
    if found.shape != truth.shape:
        return f"has the shape {found.shape}, expected {truth.shape}"
    with np.errstate(invalid="ignore"):
        near = np.abs(found - truth.astype(np.float64)) <= budget
    wrong = ~(near | (found == truth) | (np.isnan(found) & np.isnan(truth)))
    if not wrong.any():
        return None
    place = tuple(np.argwhere(wrong)[0].tolist())
    return f"{list(place)} is {found[place]}, expected {truth[place]} within {budget:.3g}"


def main():
    cases = {}
    with np.load(Path(__file__).with_name("golden.npz")) as file:
        for key in file.files:
            case, part, name = key.split("/", 2)
            cases.setdefault(case, {}).setdefault(part, {})[name] = file[key]
    model, wrong = Model(), 0
    for case, parts in cases.items():
        for way, call in WAYS.items():
            found = call(model, parts["feeds"])
            for name, truth in parts["truth"].items():
                why = fault(found[name], truth, float(parts["budget"][name]))
                if why is not None:
                    wrong += 1
                    print(f"{case}, {way}: {name} {why}")
    count = len(cases) * len(WAYS)
    print(f"FAILED: {wrong} tensors are wrong" if wrong else f"passed: {count} comparisons")
    return 1 if wrong or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
'''
_README = """\
# @MODEL@ in Python

```sh
pip install -r requirements.txt
python check.py      # proves the model on this machine: outputs and states
python example.py
```

| file | what it is |
|---|---|
| model.py | the class `Model`: copy it, with the model file, into your program |
| example.py | how to call it |
| check.py, golden.npz | golden vectors with their largest error allowed; not part of your program |

| tensor | kind | dtype | shape |
|---|---|---|---|
@TENSORS@

@STATES@
"""
_STATES = """\
Keep one `Model` for each stream, or one with a `batch` of streams that advance together.
`model.state` is a dict of arrays: save it, and assign it again to resume."""
_NO_STATES = "The program runs whole sequences."
PACKAGER = Packager(
    name="python", help="a Python program on NumPy and ONNX Runtime", make=make, format="onnx"
)
