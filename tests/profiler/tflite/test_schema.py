from __future__ import annotations

import flatbuffers
import pytest

from profiler.operators import OptionField, operators
from profiler.operators.options import TENSOR_TYPE_INT32, TENSOR_TYPE_INT64
from profiler.tflite import OPERATORS
from profiler.tflite.schema import ACTIVATIONS, TENSOR_TYPES

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

SCHEMA_NAMES = {
    "activation": "fusedActivationFunction", "stride_height": "strideH", "stride_width": "strideW", "stride_depth": "strideD",
    "dilation_height": "dilationHFactor", "dilation_width": "dilationWFactor", "dilation_depth": "dilationDFactor",
    "kernel_height": "filterHeight", "kernel_width": "filterWidth", "projection_clip": "projClip",
    "condition_subgraph": "condSubgraphIndex", "body_subgraph": "bodySubgraphIndex",
    "then_subgraph": "thenSubgraphIndex", "else_subgraph": "elseSubgraphIndex", "sequence_axis": "seqDim",
    "batch_axis": "batchDim", "axes": "squeezeDims",
}  # fmt: skip
SUBGRAPHS = {
    "call": "subgraph", "call_once": "initSubgraphIndex", "stablehlo_composite": "decompositionSubgraphIndex",
}  # fmt: skip


def _by_number(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def test_names_are_the_schemas():
    operators = _by_number(schema.BuiltinOperator)
    assert {n: name.lower() for n, name in operators.items()} == dict(enumerate(OPERATORS))
    assert {n: name.lower() for n, name in _by_number(schema.TensorType).items()} == dict(
        enumerate(TENSOR_TYPES)
    )
    assert (TENSOR_TYPES[TENSOR_TYPE_INT32], TENSOR_TYPES[TENSOR_TYPE_INT64]) == ("int32", "int64")
    activations = _by_number(schema.ActivationFunctionType)
    assert {n: name.lower() for n, name in activations.items()} == dict(enumerate(ACTIVATIONS))


def schema_attribute(op: str, field: OptionField) -> str:
    """What the schema's generated code calls one of our fields."""
    if field.name == "composite":
        return "name"
    if field.name == "subgraph":
        return SUBGRAPHS[op]
    if (op, field.name) == ("shape", "output_type"):
        return "outType"
    camel = "".join(part if i == 0 else part.capitalize() for i, part in enumerate(field.name.split("_")))
    return SCHEMA_NAMES.get(field.name, camel)


def _options(kind: int, union: type, field: OptionField | None):
    """The schema's own view of a table in which nothing but `field` is stored, with an unusual value."""
    b = flatbuffers.Builder(0)
    vector = None
    if field is not None and field.type == "ints":
        b.StartVector(4, 1, 4)
        b.PrependInt32(7)
        vector = b.EndVector()
    if field is not None and field.type == "text":
        vector = b.CreateString("seven")
    b.StartObject(12)
    if field is not None:
        if vector is not None:
            b.PrependUOffsetTRelativeSlot(field.slot, vector, 0)
        elif field.type in ("byte", "padding", "activation"):
            b.PrependInt8Slot(field.slot, 1, None)
        elif field.type == "bool":
            b.PrependBoolSlot(field.slot, not field.default, None)
        elif field.type == "float":
            b.PrependFloat32Slot(field.slot, 2.5, None)
        else:
            b.PrependInt32Slot(field.slot, 7, None)
    b.Finish(b.EndObject())
    name = _by_number(union)[kind]
    return getattr(schema, name + "T").InitFromPackedBuf(bytes(b.Output()), 0)


CASES = [
    (
        entry.name,
        entry.file.options,
        schema.BuiltinOptions2 if entry.file.second_union else schema.BuiltinOptions,
        field,
    )
    for entry in operators()
    for field in entry.file.fields
]


@pytest.mark.parametrize(
    ("op", "kind", "union", "field"), CASES, ids=[f"{op}-{field.name}" for op, _, _, field in CASES]
)
def test_option_lies_where_the_schema_has_it(op, kind, union, field):
    plain, stored = _options(kind, union, None), _options(kind, union, field)
    attribute = schema_attribute(op, field)
    before, after = getattr(plain, attribute), getattr(stored, attribute)
    expected = {
        "ints": [7],
        "bool": not field.default,
        "float": 2.5,
        "int": 7,
        "uint": 7,
        "text": b"seven",
    }.get(field.type, 1)
    assert (list(after) if field.type == "ints" else after) == expected
    if field.type not in ("ints", "text"):
        assert before == field.default
