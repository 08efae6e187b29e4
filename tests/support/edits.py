"""Operations that are added to a model file in place, by the same names for ONNX and TFLite.

    edit.behind("y", lambda ops, y: ops.mul(y, 1.0001))

Every reader of a tensor, the caller of the file too, then gets the result in its place. Numbers
become constants of the type of the other operand.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from tests.support.mutants_onnx import After
from tests.support.mutants_tflite import CODE, TYPES, Mutant

Build = Callable[[Any, Any], Any]
FAR = np.iinfo(np.int64).min


class OnnxEdit:
    """The graph of an ONNX file."""

    def __init__(self, content: bytes, entry: str) -> None:
        self.model = onnx.load_from_string(content)

    @property
    def content(self) -> bytes:
        return self.model.SerializeToString()

    def behind(self, tensor: str, build: Build) -> bool:
        values = [*self.model.graph.input, *self.model.graph.output]
        value = next((value for value in values if value.name == tensor), None)
        if value is None:
            return False
        after = After(self.model, tensor)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        return after.done(build(OnnxOps(after, dtype), after.raw))


class OnnxOps:
    """Operations behind one tensor of an ONNX file."""

    def __init__(self, after: After, dtype: np.dtype) -> None:
        self._after, self._dtype = after, dtype

    def _number(self, value: Any, dtype: Any) -> str:
        return value if isinstance(value, str) else self._after.constant(np.array(value, dtype))

    def _plain(op: str, *, of_sizes: bool = False) -> Callable[..., str]:  # type: ignore[misc]
        def call(self: "OnnxOps", a: str, b: Any) -> str:
            dtype = np.int64 if of_sizes else self._dtype
            return self._after(op, a, self._number(b, dtype))

        return call

    add, mul, minimum, maximum = _plain("Add"), _plain("Mul"), _plain("Min"), _plain("Max")
    greater, both = _plain("Greater"), _plain("And")
    size_equal, size_less = _plain("Equal", of_sizes=True), _plain("Less", of_sizes=True)
    size_add, size_mod = _plain("Add", of_sizes=True), _plain("Mod", of_sizes=True)

    def value_equal(self, a: str, b: Any) -> str:
        return self._after("Equal", a, self._number(b, self._dtype))

    def where(self, condition: str, a: str, b: str) -> str:
        return self._after("Where", condition, a, b)

    def size(self, tensor: str, axis: int) -> str:
        shape = self._after("Shape", tensor)
        return self._after("Gather", shape, self._number(axis, np.int64), axis=0)

    def places(self, tensor: str, axis: int, rank: int) -> str:
        """The index along an axis, in a shape that fits a tensor of this rank."""
        zero, one = self._number(0, np.int64), self._number(1, np.int64)
        index = self._after("Range", zero, self.size(tensor, axis), one)
        others = [each for each in range(rank) if each != axis]
        return self._after("Unsqueeze", index, self._number(others, np.int64)) if others else index

    def half(self, tensor: str) -> str:
        """The values rounded to float16."""
        cut = self._after("Cast", tensor, to=onnx.TensorProto.FLOAT16)
        return self._after("Cast", cut, to=onnx.TensorProto.FLOAT)

    def reverse(self, tensor: str, axis: int) -> str:
        begin, end, axes = (self._number([n], np.int64) for n in (-1, FAR, axis))
        return self._after("Slice", tensor, begin, end, axes, begin)

    def absolute(self, tensor: str) -> str:
        return self._after("Abs", tensor)


class Ref(int):
    """The index of a tensor, to be told from a number."""


class TfliteEdit:
    """One signature of a TFLite file."""

    def __init__(self, content: bytes, entry: str) -> None:
        self.mutant = Mutant(content, entry)

    @staticmethod
    def signatures(content: bytes) -> list[str]:
        """The names of a file's signatures."""
        model = schema.Model.GetRootAsModel(content, 0)
        signatures = (model.SignatureDefs(i) for i in range(model.SignatureDefsLength()))
        return [signature.SignatureKey().decode() for signature in signatures]

    @property
    def content(self) -> bytes:
        return self.mutant.content

    def behind(self, tensor: str, build: Build) -> bool:
        mutant = self.mutant
        output = mutant.output(tensor)
        index = mutant.input(tensor) if output is None else output.tensorIndex
        if index is None:
            return False
        dtypes = {code: dtype for dtype, code in TYPES.items()}
        dtype = dtypes[mutant.graph.tensors[index].type]

        def plain(add: Callable[..., int], x: int) -> int:
            return int(build(TfliteOps(mutant, add, dtype), Ref(x)))  # NumPy widens a Ref

        return mutant.behind(index, plain)


class TfliteOps:
    """Operations behind one tensor of a TFLite file."""

    def __init__(self, mutant: Mutant, add: Callable[..., int], dtype: np.dtype) -> None:
        self._mutant, self._add, self._dtype = mutant, add, dtype

    def _number(self, value: Any, dtype: Any) -> Ref:
        return value if isinstance(value, Ref) else Ref(self._mutant.constant(dtype(value)))

    def _call(self, code: int, inputs: list[Ref], shape: Any, dtype: Any, options: Any) -> Ref:
        return Ref(self._add(code, inputs, shape, dtype, options() if options else None))

    def _plain(
        code: int, options: Any, result: Any = None, *, of_sizes: bool = False
    ) -> Callable[..., Ref]:  # type: ignore[misc]
        def call(self: "TfliteOps", a: Ref, b: Any) -> Ref:
            dtype = np.int32 if of_sizes else self._dtype.type
            b = self._number(b, dtype)
            shapes = [self._mutant.shape_of(each) for each in (a, b)]
            kind = result or ("int32" if of_sizes else self._dtype)
            return self._call(code, [a, b], max(shapes, key=len), kind, options)

        return call

    add = _plain(CODE.ADD, schema.AddOptionsT)
    mul = _plain(CODE.MUL, schema.MulOptionsT)
    minimum = _plain(CODE.MINIMUM, schema.MaximumMinimumOptionsT)
    maximum = _plain(CODE.MAXIMUM, schema.MaximumMinimumOptionsT)
    greater = _plain(CODE.GREATER, schema.GreaterOptionsT, "bool")
    value_equal = _plain(CODE.EQUAL, schema.EqualOptionsT, "bool")
    size_equal = _plain(CODE.EQUAL, schema.EqualOptionsT, "bool", of_sizes=True)
    size_less = _plain(CODE.LESS, schema.LessOptionsT, "bool", of_sizes=True)
    size_add = _plain(CODE.ADD, schema.AddOptionsT, of_sizes=True)
    size_mod = _plain(CODE.FLOOR_MOD, schema.FloorModOptionsT, of_sizes=True)
    both = _plain(CODE.LOGICAL_AND, schema.LogicalAndOptionsT, "bool")

    def where(self, condition: Ref, a: Ref, b: Ref) -> Ref:
        shape = self._mutant.shape_of(a)
        return self._call(
            CODE.SELECT_V2, [condition, a, b], shape, self._dtype, schema.SelectV2OptionsT
        )

    def size(self, tensor: Ref, axis: int) -> Ref:
        rank = len(self._mutant.shape_of(tensor))

        def options() -> Any:
            chosen = schema.ShapeOptionsT()
            chosen.outType = TYPES[np.dtype("int32")]
            return chosen

        shape = self._call(CODE.SHAPE, [tensor], [rank], "int32", options)
        which = self._number(axis, np.int32)
        return self._call(CODE.GATHER, [shape, which], [], "int32", schema.GatherOptionsT)

    def places(self, tensor: Ref, axis: int, rank: int) -> Ref:
        """The index along an axis, in a shape that fits a tensor of this rank."""
        zero, one = self._number(0, np.int32), self._number(1, np.int32)
        ends = [zero, self.size(tensor, axis), one]
        index = self._call(CODE.RANGE, ends, [-1], "int32", schema.RangeOptionsT)
        shape = [-1 if each == axis else 1 for each in range(rank)]
        wanted = Ref(self._mutant.constant(np.array(shape, np.int32)))
        return self._call(CODE.RESHAPE, [index, wanted], shape, "int32", schema.ReshapeOptionsT)

    def half(self, tensor: Ref) -> Ref:
        """The values rounded to float16."""
        shape = self._mutant.shape_of(tensor)
        cut = self._call(CODE.CAST, [tensor], shape, "float16", schema.CastOptionsT)
        return self._call(CODE.CAST, [cut], shape, "float32", schema.CastOptionsT)

    def reverse(self, tensor: Ref, axis: int) -> Ref:
        axes = Ref(self._mutant.constant(np.array([axis], np.int32)))
        shape = self._mutant.shape_of(tensor)
        return self._call(
            CODE.REVERSE_V2, [tensor, axes], shape, self._dtype, schema.ReverseV2OptionsT
        )

    def absolute(self, tensor: Ref) -> Ref:
        shape = self._mutant.shape_of(tensor)
        return self._call(CODE.ABS, [tensor], shape, self._dtype, schema.AbsOptionsT)
