"""Operators that move elements by index: scattering, segments, diagonals, boxes that are kept."""

from __future__ import annotations

import numpy as np

from profiler.network import Arithmetic, Layer, Param, Tensor
from profiler.operators import sizes
from profiler.operators.options import FileFormat, numbers, quiet
from profiler.operators.registry import FEW, Operator, Rng, drawn, moving, register_operators


def _rows(rng: Rng) -> tuple[int, int]:
    """Rows and their length."""
    return sizes.scaled(rng, 2, 2048), sizes.scaled(rng, 1, 256)


def _stored_numbers(*shape: int) -> Tensor:
    return Tensor(shape, "int32", True)


def scatter_nd(updates: int, rows: int, columns: int, dtype: str = "float32") -> Layer:
    """`updates` rows put at stored places of ``[rows, columns]``."""
    operands = _stored_numbers(updates, 1), Tensor((updates, columns), dtype), _stored_numbers(2)
    return Layer("scatter_nd", operands, (Tensor((rows, columns), dtype),))


def _draw_scatter_nd(op: str, rng: Rng, dtype: str) -> Layer:
    rows, columns = _rows(rng)
    return scatter_nd(sizes.scaled(rng, 1, rows), rows, columns, dtype)


def _draw_segments(op: str, rng: Rng, dtype: str) -> Layer:
    """Rows added up (or the largest of them taken) by stored numbers of segments."""
    rows, columns = _rows(rng)
    count = sizes.scaled(rng, 1, rows)
    operands: tuple[Tensor, ...] = (Tensor((rows, columns), dtype), _stored_numbers(rows))
    if op != "segment_sum":
        operands += (_stored_numbers(),)
    return Layer(op, operands, (Tensor((count, columns), dtype),))


def _draw_dynamic_update(op: str, rng: Rng, dtype: str) -> Layer:
    """A row of a cache that is replaced."""
    rows, columns = _rows(rng)
    operands = Tensor((1, rows, columns), dtype), Tensor((1, 1, columns), dtype), _stored_numbers(3)
    return Layer(op, operands, (Tensor((1, rows, columns), dtype),))


def _draw_reverse_sequence(op: str, rng: Rng, dtype: str) -> Layer:
    steps, columns = _rows(rng)
    operands = Tensor((1, steps, columns), dtype), _stored_numbers(1)
    params: dict[str, Param] = {"sequence_axis": 1, "batch_axis": 0}
    return Layer(op, operands, (Tensor((1, steps, columns), dtype),), params)


def _draw_diagonal(op: str, rng: Rng, dtype: str) -> Layer:
    count, size = sizes.scaled(rng, 1, 64), sizes.scaled(rng, 2, 128)
    diagonal, squares = Tensor((count, size), dtype), Tensor((count, size, size), dtype)
    return Layer(op, (diagonal,) if op == "matrix_diag" else (squares, diagonal), (squares,))


def _draw_sparse(op: str, rng: Rng, dtype: str) -> Layer:
    """A few values at stored places of a vector, another number everywhere else."""
    size = sizes.scaled(rng, 16, 65536)
    count = sizes.scaled(rng, 1, min(size, 2048))
    operands = (_stored_numbers(count), _stored_numbers(1), Tensor((count,), dtype), Tensor((), dtype, True))
    return Layer(op, operands, (Tensor((size,), dtype),))


def _draw_fill(op: str, rng: Rng, dtype: str) -> Layer:
    shape = sizes.feature_map(rng)
    return Layer(op, (_stored_numbers(len(shape)), Tensor((), dtype)), (Tensor(shape, dtype),))


def _draw_boxes(op: str, rng: Rng, dtype: str) -> Layer:
    """Boxes of which those are kept that overlap no better one."""
    boxes, most = sizes.scaled(rng, 16, 4000), int(rng.choice([10, 20, 100]))
    number = Tensor((), "float32", True)
    operands = [Tensor((boxes, 4)), Tensor((boxes,)), _stored_numbers(), number, number]
    results = [Tensor((most,), "int32"), Tensor((), "int32")]
    if op == "non_max_suppression_v5":
        operands.append(number)
        results.insert(1, Tensor((most,)))
    return Layer(op, tuple(operands), tuple(results))


def _segment_numbers(layer: Layer) -> np.ndarray:
    """As many numbers of segments as there are rows, in order, each in use."""
    return _spread(layer.inputs[0].shape[0], layer.outputs[0].shape[0])


def _spread(count: int, size: int) -> np.ndarray:
    """`count` places of `size`, in order."""
    return (np.arange(count, dtype=np.int64) * size // count).astype(np.int32)


def _segments(name: str, options: int, **streams: int) -> Operator:
    return Operator(
        name,
        FileFormat(options, computed={1: _segment_numbers, 2: lambda layer: layer.outputs[0].shape[0]}),
        draws=drawn(_draw_segments, **{dtype: (FEW, stream) for dtype, stream in streams.items()}),
        features="reduction",
    )


def _nms(name: str, options: int, stream: int) -> Operator:
    computed = {
        2: lambda layer: layer.outputs[0].shape[0],
        3: lambda layer: 0.5,
        4: lambda layer: 0.0,
        5: lambda layer: 0.0,
    }
    return Operator(
        name,
        FileFormat(options, computed=computed),
        draws=drawn(_draw_boxes, float32=(FEW, stream)),
        features="copy",
    )


register_operators(
    Operator(
        "scatter_nd",
        FileFormat(
            97,
            computed={
                0: lambda layer: _spread(layer.inputs[1].shape[0], layer.outputs[0].shape[0]),
                2: lambda layer: layer.outputs[0].shape,
            },
        ),
        draws=drawn(_draw_scatter_nd, float32=(FEW, 69), int8=(FEW, 50), int32=(FEW, 12)),
        arithmetic=Arithmetic(of_result=True),
        features="copy",
    ),
    _segments("segment_sum", 100, float32=70, int32=13),
    _segments("unsorted_segment_sum", 121, float32=71, int32=14),
    _segments("unsorted_segment_prod", 117, float32=72),
    _segments("unsorted_segment_max", 118, float32=73),
    _segments("unsorted_segment_min", 119, float32=74),
    moving(
        "dynamic_update_slice",
        FileFormat(computed={2: lambda layer: (0, 0, 0)}),
        draws=drawn(_draw_dynamic_update, float32=(FEW, 75), int8=(FEW, 51)),
    ),
    Operator(
        "reverse_sequence",
        FileFormat(
            87,
            numbers(0, "sequence_axis", "batch_axis"),
            computed={1: lambda layer: (layer.inputs[0].shape[1],)},
        ),
        draws=drawn(_draw_reverse_sequence, float32=(FEW, 76)),
        features="copy",
    ),
    moving("matrix_diag", FileFormat(88), draws=drawn(_draw_diagonal, float32=(FEW, 77))),
    moving("matrix_set_diag", FileFormat(90), draws=drawn(_draw_diagonal, float32=(FEW, 78))),
    Operator(
        "sparse_to_dense",
        FileFormat(
            50,
            (quiet(0, "bool", "validate_indices", False),),
            computed={
                0: lambda layer: _spread(layer.inputs[0].shape[0], layer.outputs[0].shape[0]),
                1: lambda layer: layer.outputs[0].shape,
                3: lambda layer: 0,
            },
        ),
        draws=drawn(_draw_sparse, float32=(FEW, 79)),
        arithmetic=Arithmetic(of_result=True),
        features="copy",
    ),
    Operator(
        "fill",
        FileFormat(68, computed={0: lambda layer: layer.outputs[0].shape}),
        draws=drawn(_draw_fill, float32=(FEW, 80), int32=(FEW, 15)),
        arithmetic=Arithmetic(of_result=True),
        features="copy",
    ),
    Operator("where", FileFormat(85), arithmetic=Arithmetic(of_result=True)),
    _nms("non_max_suppression_v4", 95, 81),
    _nms("non_max_suppression_v5", 96, 82),
)
