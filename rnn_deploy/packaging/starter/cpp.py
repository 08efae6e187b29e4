"""`--for cpp`: a class on the C++ API of ONNX Runtime, an example, and a self-test."""

from collections.abc import Mapping

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError
from rnn_deploy.packaging.base import PackageFiles, Packager
from rnn_deploy.packaging.starter import cpp_text as text
from rnn_deploy.packaging.starter.cpp_selftest import SELFTEST, SELFTEST_WHOLE
from rnn_deploy.packaging.starter.names import identifiers, quoted, shown
from rnn_deploy.packaging.starter.program import StarterProgram, preparation, program_of
from rnn_deploy.packaging.starter.vectors import CheckCase, binary_of, check_cases, open_sizes
from rnn_deploy.spec import Dim, TensorSpec

# The type of an element, and ONNX Runtime's name for it. A C++ vector of bool stores bits.
TYPES = {
    "float32": ("float", "FLOAT"),
    "float64": ("double", "DOUBLE"),
    "int8": ("int8_t", "INT8"),
    "int16": ("int16_t", "INT16"),
    "int32": ("int32_t", "INT32"),
    "int64": ("int64_t", "INT64"),
    "uint8": ("uint8_t", "UINT8"),
    "bool": ("uint8_t", "BOOL"),
}
OWN = ("Model", "Result", "batch", "values", "tensor", "file", "result", "model", "main", "state")


def make(bundle: Bundle, options: Mapping[str, str]) -> PackageFiles:
    """Return the class, an example, a self-test with its vectors, and a build file."""
    program = program_of(bundle, "onnx", "ort-cpu", (*OWN, *text.KEYWORDS))
    _refuse_other_types(program)
    cases = check_cases(program)
    source = CppSource(program)
    files = {
        "model.hpp": source.header(),
        "example.cpp": source.example(),
        "selftest.cpp": source.selftest(cases),
        "CMakeLists.txt": text.CMAKE,
        "README.md": text.README.replace("@MODEL@", shown(program.model)).replace(
            "@PREPARATION@", preparation(program)
        ),
    }
    contents = {name: content.encode() for name, content in files.items()}
    return PackageFiles(
        {**contents, "golden.bin": binary_of(program, cases), **program.model_files()},
        ("README.md says how to build it; run ./selftest first",),
    )


def _refuse_other_types(program: StarterProgram) -> None:
    for tensor in (*program.entry.all_inputs, *program.entry.all_outputs):
        if tensor.dtype not in TYPES:
            raise InputError(
                "E-OPTION-PACKAGER-DTYPE",
                f"tensor '{tensor.name}' has the dtype {tensor.dtype}, which a C++ starter program"
                f" cannot hold; it takes {', '.join(TYPES)}: use --for python",
            )


class CppSource:
    """The source files of a program."""

    def __init__(self, program: StarterProgram) -> None:
        self.program, self.entry, self.names = program, program.entry, program.names
        symbols = open_sizes(program)
        taken = (*self.names.values(), *OWN, *text.KEYWORDS)
        self.sizes = identifiers(symbols, taken)
        self.symbols = symbols

    @property
    def batch_is_fixed(self) -> bool:
        return isinstance(self.entry.inputs[0].shape[0], int)

    def header(self) -> str:
        """Return model.hpp."""
        outputs = [f"        {self._vector(t)} {self.names[t.name]};" for t in self.entry.outputs]
        states = [s.tensor for s in self.entry.states] if self.program.streams else []
        carried = self._checked
        fed = [*self.entry.inputs, *states]
        count = len(self.entry.outputs)
        moved = [
            f"        {self.names[s.name]} = values<{self._type(s)}>(out[{count + i}]);"
            for i, s in enumerate(states)
        ]
        results = ", ".join(
            f"values<{self._type(t)}>(out[{i}])" for i, t in enumerate(self.entry.outputs)
        )
        parts = {
            "@MODEL@": shown(self.program.model),
            "@TENSORS@": "\n".join(
                f"//   {self.names[t.name]}: {shown(f'{t.dtype} ({_dims(t)})')}"
                for t in (*self.entry.inputs, *self.entry.outputs)
            ),
            "@RESULT@": "\n".join(outputs),
            "@FILE@": quoted(self.program.model_file),
            "@CALL@": "step" if self.program.streams else "predict",
            "@WHAT@": text.STEP if self.program.streams else text.PREDICT,
            "@ARGUMENTS@": ", ".join(self.arguments()),
            "@FED@": ",\n".join(f"            {self._tensor(t)}" for t in fed),
            "@INPUT_NAMES@": ", ".join(quoted(t.name) for t in fed),
            "@OUTPUT_NAMES@": ", ".join(quoted(t.name) for t in carried),
            "@INPUT_COUNT@": str(len(fed)),
            "@OUTPUT_COUNT@": str(len(carried)),
            "@VALUES@": results,
            "@MOVED@": "".join(line + "\n" for line in moved),
            "@STATES@": "\n".join(f"    {self._vector(s)} {self.names[s.name]};" for s in states),
            "@RESET@": "\n".join(
                f"        {self.names[s.name]}.assign({self._count(s)}, 0);" for s in states
            ),
        }
        header = text.HEADER if self.program.streams else text.without_states(text.HEADER)
        return _filled(header, parts)

    def arguments(self) -> list[str]:
        """Return the parameters of the call."""
        given = [f"{self._vector(t)} {self.names[t.name]}" for t in self.entry.inputs]
        batch = [] if self.program.streams or self.batch_is_fixed else ["int64_t batch"]
        return [*given, *batch, *(f"int64_t {self.sizes[s]}" for s in self.symbols)]

    def example(self) -> str:
        """Return example.cpp, which calls the model with zeros."""
        sizes = {s: "1" if s == self.program.time and self.program.streams else "3"
                 for s in self.symbols}  # fmt: skip
        given = [
            f"std::vector<{self._type(t)}>({self._count(t, sizes)})" for t in self.entry.inputs
        ]
        batch = [] if self.program.streams or self.batch_is_fixed else ["1"]
        call = ", ".join([*given, *batch, *(sizes[s] for s in self.symbols)])
        first = self.names[self.entry.outputs[0].name]
        way = "step" if self.program.streams else "predict"
        body = text.EXAMPLE_STREAM if self.program.streams else text.EXAMPLE_WHOLE
        return _filled(body, {"@CALL@": f"model.{way}({call})", "@FIRST@": first})

    def selftest(self, cases: list[CheckCase]) -> str:
        """Return selftest.cpp, which reads golden.bin."""
        whole = [f"feeds[{i}]" for i, _ in enumerate(self.entry.inputs)]
        time = self.symbols.index(self.program.time) if self.program.time in self.symbols else 0
        one = [
            f"part(feeds[{i}], batch, steps, t)" if self.program.is_timed(t) else f"feeds[{i}]"
            for i, t in enumerate(self.entry.inputs)
        ]
        sizes = [f"sizes[{i}]" for i, _ in enumerate(self.symbols)]
        alone = [
            "1" if s == self.program.time else f"sizes[{i}]" for i, s in enumerate(self.symbols)
        ]
        batch = [] if self.program.streams or self.batch_is_fixed else ["batch"]

        def call(feeds: list[str], lengths: list[str]) -> str:
            cast = [
                f"as<{self._type(t)}>({feed})"
                for t, feed in zip(self.entry.inputs, feeds, strict=True)
            ]
            return ", ".join([*cast, *batch, *lengths])

        count = len(self.entry.inputs)
        parts = {
            "@CASES@": ",\n".join(f"    {quoted(case.name)}" for case in cases),
            "@SIZES@": str(len(self.symbols)),
            "@INPUTS@": str(len(self.entry.all_inputs if self.program.streams else whole)),
            "@OUTPUTS@": ", ".join(quoted(t.name) for t in self._checked),
            "@TIME@": str(time),
            "@STATES_IN@": "".join(
                f"    model.{self.names[s.tensor.name]} ="
                f" as<{self._type(s.tensor)}>(feeds[{count + i}]);\n"
                for i, s in enumerate(self.entry.states)
            ),
            "@WHOLE@": call(whole, sizes),
            "@STEP@": call(one, alone),
            "@FOUND@": "\n".join(
                f"    found.push_back(as<double>(result.{self.names[t.name]}));"
                for t in self.entry.outputs
            ),
            "@JOINED@": "\n".join(
                f"        join(found[{i}], as<double>(result.{self.names[t.name]}), batch, steps,"
                f" t, {'true' if self.program.is_timed(t) else 'false'});"
                for i, t in enumerate(self.entry.outputs)
            ),
            "@OUTPUT_COUNT@": str(len(self.entry.outputs)),
            "@STATES_OUT@": "".join(
                f"    found.push_back(as<double>(model.{self.names[s.tensor.name]}));\n"
                for s in self.entry.states
            ),
        }
        return _filled(SELFTEST if self.program.streams else SELFTEST_WHOLE, parts)

    @property
    def _checked(self) -> tuple[TensorSpec, ...]:
        return self.entry.all_outputs if self.program.streams else self.entry.outputs

    def _type(self, tensor: TensorSpec) -> str:
        return TYPES[tensor.dtype][0]

    def _vector(self, tensor: TensorSpec) -> str:
        return f"std::vector<{self._type(tensor)}>"

    def _dim(self, dim: Dim, axis: int) -> str:
        if isinstance(dim, int):
            return str(dim)
        return self.sizes.get(dim, "batch") if axis else "batch"

    def _tensor(self, tensor: TensorSpec) -> str:
        shape = ", ".join(self._dim(dim, axis) for axis, dim in enumerate(tensor.shape))
        kind = f"ONNX_TENSOR_ELEMENT_DATA_TYPE_{TYPES[tensor.dtype][1]}"
        return f"tensor({self.names[tensor.name]}, {{{shape}}}, {kind})"

    def _count(self, tensor: TensorSpec, sizes: Mapping[str, str] | None = None) -> str:
        dims = [
            (sizes or {}).get(str(dim), self._dim(dim, axis) if sizes is None else "1")
            if isinstance(dim, str)
            else str(dim)
            for axis, dim in enumerate(tensor.shape)
        ]
        return " * ".join(dims)


def _dims(tensor: TensorSpec) -> str:
    return ", ".join(map(str, tensor.shape))


def _filled(template: str, parts: Mapping[str, str]) -> str:
    for key, value in parts.items():
        template = template.replace(key, value)
    return template


PACKAGER = Packager(name="cpp", help="a C++ program on ONNX Runtime", make=make, format="onnx")
