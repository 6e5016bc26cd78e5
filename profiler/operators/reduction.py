"""Operators that work along an axis: reductions, softmax and other normalisation, running sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from profiler.axes import LayerStep, keep_axes
from profiler.network import Layer, Param, Shape, Tensor
from profiler.operators import options, sizes
from profiler.operators.activation import unary
from profiler.operators.options import FileFormat, StoredParam, flag, fraction, quiet
from profiler.operators.registry import Operator, ReferenceLayers, Rng, drawn, register_operators


def reduce(
    op: str, shape: Shape, axes: Sequence[int], keep_dims: bool = False, dtype: str = "float32"
) -> Layer:
    """A reduction (``mean``, ``sum``, ``reduce_max``) of `shape` over `axes`."""
    wanted = {axis % len(shape) for axis in axes}
    out = tuple(1 if i in wanted else n for i, n in enumerate(shape) if keep_dims or i not in wanted)
    params: dict[str, Param] = {"axes": tuple(sorted(wanted)), "keep_dims": keep_dims}
    return sizes.single_layer(op, shape, out, dtype, params, (len(wanted),))


def arg_max(shape: Shape, dtype: str = "float32") -> Layer:
    """Place of the largest along the last axis."""
    operands = (Tensor(shape, dtype), sizes.indices())
    params: dict[str, Param] = {"axis": len(shape) - 1, "output_type": options.TENSOR_TYPE_INT64}
    return Layer("arg_max", operands, (Tensor(shape[:-1], "int64"),), params)


def cumsum(shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """Running sums along `axis`."""
    params: dict[str, Param] = {"axis": axis, "exclusive": False, "reverse": False}
    return sizes.single_layer("cumsum", shape, shape, dtype, params, ())


def top_k(rows: int, columns: int, k: int, dtype: str = "float32") -> Layer:
    """The `k` largest of each row and their places."""
    outputs = (Tensor((rows, k), dtype), Tensor((rows, k), "int32"))
    return Layer("topk_v2", (Tensor((rows, columns), dtype), sizes.indices()), outputs, {"k": k})


def _draw_reduction(op: str, rng: Rng, dtype: str) -> Layer:
    """Over the plane, over the steps of a sequence, or over the channels (normalisation)."""
    kind = rng.random()
    if kind < 0.65:
        height, width = sizes.plane(rng, 112)
        shape = (1, height, width, sizes.channels(rng))
        return reduce(op, shape, (1, 2), rng.random() < 0.5, dtype)
    if kind < 0.8:
        height, width = sizes.plane(rng, 64)
        return reduce(op, (1, height, width, sizes.channels(rng, 1024)), (3,), True, dtype)
    steps = max(2, int(np.exp(rng.uniform(0, np.log(256)))))
    axis = 1 if kind < 0.88 else 2
    keep = axis == 2 and rng.random() < 0.8
    return reduce(op, (1, steps, sizes.channels(rng, 1024)), (axis,), keep, dtype)


def _draw_softmax(op: str, rng: Rng, dtype: str) -> Layer:
    """Rows of scores: of one classification, or of every step and head."""
    rows = 1 if rng.random() < 0.5 else int(np.exp(rng.uniform(0, np.log(2000))))
    columns = max(2, round(float(np.exp(rng.uniform(0.5, np.log(2000))))))
    return unary(op, (rows, columns), dtype)


def _draw_arg_max(op: str, rng: Rng, dtype: str) -> Layer:
    """The place of the largest, along the last axis: of one classification, or of every position of a map."""
    if rng.random() < 0.3:
        return arg_max((1, *sizes.plane(rng, 224), sizes.scaled(rng, 2, 32)), dtype)
    shape = sizes.feature_map(rng)
    shape = (shape[0], sizes.scaled(rng, 1, 64), *shape[1:]) if len(shape) == 2 else shape
    return arg_max(shape, dtype)


def _draw_cumsum(op: str, rng: Rng, dtype: str) -> Layer:
    """Running sums."""
    shape = sizes.sequence(rng)
    return cumsum(shape, int(rng.choice([1, 2])), dtype)


def _draw_top_k(op: str, rng: Rng, dtype: str) -> Layer:
    """The largest of each row."""
    columns = sizes.scaled(rng, 8, 4000)
    rows = 1 if rng.random() < 0.6 else sizes.scaled(rng, 1, 200)
    return top_k(rows, columns, min(columns, int(rng.choice([1, 3, 5, 10, 32]))), dtype)


def reduce_axes(step: LayerStep) -> None:
    """Axes that are reduced vanish, or stay as 1."""
    sizes, axes, axis = step.read(0), step.layer.params.get("axes"), step.layer.params.get("axis")
    if isinstance(axis, int):
        axes = (axis,)
    if not isinstance(axes, tuple):
        return step.freeze_all()
    keep = bool(step.layer.params.get("keep_dims"))
    step.write([1 if i in axes else s for i, s in enumerate(sizes) if keep or i not in axes])


_REDUCER = FileFormat(27, (flag(0, "keep_dims"),), stored=options.AXES)
_REDUCED = ReferenceLayers(
    lambda op, dtype, s: reduce(op, sizes.map_shape(s), (1, 2), dtype=dtype),
    sizes.reference_maps((7, 256), (14, 96), (28, 64), (32, 32)),
    sizes.ON_MAPS,
)
_SOFTMAX = ReferenceLayers(
    lambda op, dtype, s: unary(op, (s["rows"], s["columns"]), dtype),
    [{"rows": rows, "columns": columns} for rows, columns in ((1, 1000), (16, 100), (64, 64))],
    {"rows": (1, 2, 4, 8, 16, 32, 64, 128, 256), "columns": (2, 5, 10, 20, 50, 100, 200, 500, 1000)},
)
_KEEPS_SCALE = options.Quantization(keeps_scale=True)
_PLAIN = options.Quantization()
_AXIS = (StoredParam(1, "axis", "axis"),)
_ARG = FileFormat(40, (quiet(0, "byte", "output_type"),), stored=_AXIS)

_plain = partial(Operator, widths=reduce_axes)
_normalised = partial(Operator, widths=keep_axes)


def _reduction(
    name: str,
    events: dict[str, float],
    quantization: options.Quantization = _PLAIN,
    **counts: tuple[int, int],
) -> Operator:
    """A reduction that is drawn, with (count, stream) of its probes by arithmetic."""
    return _plain(
        name,
        _REDUCER,
        quantization,
        drawn(_draw_reduction, **counts),
        features="reduction",
        row="reduction",
        events=events,
        reference=_REDUCED,
    )


register_operators(
    _reduction(
        "mean",
        {"Mean": 0.0, "Global Average Pooling": 0.0, "Mean Squared": 0.0, "Average Pooling": 0.1},
        uint8=(8, 17),
        float32=(100, 8),
        int8=(80, 7),
        int16=(60, 7),
    ),
    _reduction(
        "sum", {"Sum": 0.0, "Global Sum Pooling": 0.0}, float32=(40, 47), int8=(30, 41), int16=(35, 32)
    ),
    _reduction(
        "reduce_max",
        {"Reduce Max": 0.0},
        _KEEPS_SCALE,
        uint8=(8, 33),
        float32=(40, 48),
        int8=(30, 42),
        int16=(30, 33),
    ),
    _plain("reduce_min", _REDUCER, _KEEPS_SCALE, row="reduction", events={"Reduce Min": 0.0}),
    *(_plain(name, _REDUCER) for name in ("reduce_prod",)),
    _plain(
        "arg_max",
        _ARG,
        draws=drawn(_draw_arg_max, uint8=(8, 32), int8=(10, 60), float32=(30, 49)),
        features="reduction",
    ),
    _plain("arg_min", replace(_ARG, options=57)),
    _normalised(
        "softmax",
        FileFormat(9, (fraction(0, "beta"),), usual_params={"beta": 1.0}),
        options.Quantization(fixed={"int8": (1 / 256, -128), "int16": (1 / 32768, 0), "uint8": (1 / 256, 0)}),
        draws=drawn(_draw_softmax, uint8=(8, 9), float32=(60, 9), int8=(40, 8), int16=(30, 8)),
        features="softmax",
        events={"Softmax": 0.0},
        reference=_SOFTMAX,
    ),
    _normalised(
        "log_softmax",
        FileFormat(36),
        options.Quantization(fixed={"int8": (16 / 256, 127)}),
        draws=drawn(_draw_softmax, int8=(10, 64), float32=(20, 50)),
        features="softmax",
        reference=_SOFTMAX,
    ),
    _normalised(
        "cumsum",
        FileFormat(102, (flag(0, "exclusive"), flag(1, "reverse")), stored=_AXIS),
        _KEEPS_SCALE,
        draws=drawn(_draw_cumsum, float32=(25, 51)),
        features="reduction",
    ),
    Operator(
        "topk_v2",
        FileFormat(34, stored=(StoredParam(1, "k", "scalar"),)),
        _KEEPS_SCALE,
        draws=drawn(_draw_top_k, int8=(10, 68), float32=(25, 52)),
        features="reduction",
    ),
)
