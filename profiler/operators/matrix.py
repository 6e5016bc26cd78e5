"""Products of matrices: fully connected layers and products of two computed matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from profiler.axes import LayerStep, Size, scaled
from profiler.network import Arithmetic, Layer, Shape, Tensor
from profiler.operators import sizes
from profiler.operators.number_type import weighted_layer
from profiler.operators.options import FileFormat, Quantization, activation, asymmetric, flag, quiet
from profiler.operators.registry import (
    Operator,
    OutputWidth,
    ReferenceLayers,
    Rng,
    drawn,
    register_operators,
)


def fully_connected(
    inputs: int,
    outputs: int,
    rows: int = 1,
    activation: str = "none",
    dtype: str = "float32",
    bias: bool = True,
) -> Layer:
    """A fully connected layer over ``[rows, inputs]``."""
    data, weights, out = (rows, inputs), (outputs, inputs), (rows, outputs)
    return weighted_layer("fully_connected", data, weights, out, {"activation": activation}, dtype, bias)


def batch_matmul(
    batch: Shape, rows: int, inner: int, columns: int, adj_y: bool = False, dtype: str = "float32"
) -> Layer:
    """``[*batch, rows, inner] @ [*batch, inner, columns]``; with `adj_y` the right operand is stored transposed."""
    right = (*batch, columns, inner) if adj_y else (*batch, inner, columns)
    return Layer(
        "batch_matmul",
        (Tensor((*batch, rows, inner), dtype), Tensor(right, dtype)),
        (Tensor((*batch, rows, columns), dtype),),
        {"adj_x": False, "adj_y": adj_y},
    )


def _draw_fully_connected(op: str, rng: Rng, dtype: str) -> Layer:
    """A product with stored weights, of one row or many."""
    rows = 1 if rng.random() < 0.7 else int(np.exp(rng.uniform(0, np.log(256))))
    activation = str(rng.choice(["none", "none", "relu"]))
    return fully_connected(sizes.channels(rng, 4096), sizes.channels(rng, 4096), rows, activation, dtype)


def _draw_batch_matmul(op: str, rng: Rng, dtype: str) -> Layer:
    """A product of two computed matrices, once per attention head."""
    heads = int(rng.choice([1, 2, 4, 8]))
    rows, columns = (int(np.exp(rng.uniform(1, np.log(256)))) for _ in range(2))
    inner = int(rng.choice([8, 16, 32, 64, 128]))
    if rng.random() < 0.4:  # scores by values: the sum runs over the steps
        inner, columns = columns, inner
    return batch_matmul((1, heads), rows, inner, columns, bool(rng.random() < 0.5), dtype)


def _draw_stored(op: str, rng: Rng, dtype: str) -> Layer:
    """A product with stored columns, which runtimes take for a fully connected layer."""
    layer = _draw_batch_matmul(op, rng, dtype)
    left, right = layer.inputs
    return replace(layer, inputs=(left, replace(right, constant=True)))


def _fully_connected_axes(step: LayerStep) -> None:
    """Units are chosen; the last axes of the input, flattened, are what the weights read."""
    if step.inputs < 2 or not step.constant(1) or len(step.shape(1)) != 2:
        return step.freeze_all()
    units, features = step.shape(1)
    sizes = step.read(0)
    inner = _flattened(step, sizes, features)
    if inner is None:
        return step.freeze_all()
    for size in sizes[:-1] if step.layer.params.get("keep_num_dims") else ():
        step.freeze(size)
    chosen = step.choose(units)
    step.give(1, [chosen, inner])
    step.give(2, [chosen])
    step.write([*step.out_shape()[:-1], chosen])


def _flattened(step: LayerStep, sizes: list[Size], features: int) -> Size | None:
    """The last axes, taken together, that hold `features` elements; the others must be fixed."""
    total: Size = 1
    for place in range(len(sizes) - 1, -1, -1):
        size = sizes[place]
        if isinstance(total, int):
            total = scaled(size, inner=total)
        elif isinstance(size, int):
            total = scaled(total, outer=size)
        else:
            return None
        if step.measure(total) == features:
            for other in sizes[:place]:
                step.freeze(other)
            return total
    return None


def _batch_matmul_axes(step: LayerStep) -> None:
    """Products of two layers tie what they sum over; stored columns are free to choose."""
    if step.inputs != 2 or len(step.shape(0)) < 2 or len(step.shape(1)) < 2:
        return step.freeze_all()
    left, right = step.read(0), step.read(1)
    if step.layer.params.get("adj_x"):
        left[-2:] = left[:-3:-1]
    transposed = bool(step.layer.params.get("adj_y"))
    if transposed:
        right[-2:] = right[:-3:-1]
    result: list[Size] = list(step.out_shape())
    for place in range(3, len(result) + 1):
        for axes in (left, right):
            if place <= len(axes) and not isinstance(axes[-place], int):
                same = step.measure(axes[-place]) == result[-place]
                result[-place] = (
                    step.unify(result[-place], axes[-place]) if same else step.freeze(axes[-place])
                )
    if step.constant(1) and all(isinstance(s, int) for s in right[:-2]):
        columns = step.choose(step.measure(right[-1]))
        step.give(1, [*right[:-2], columns, left[-1]] if transposed else [*right[:-2], left[-1], columns])
        step.write([*result[:-2], left[-2], columns])
        return None
    step.unify(left[-1], right[-2])
    step.write([*result[:-2], left[-2], right[-1]])
    return None


def _product_macs(layer: Layer) -> int:
    """Every element of the result sums up the inner axis."""
    left = layer.inputs[0].shape
    if len(layer.inputs) < 2 or not left:
        return 0
    summed = left[-2 if layer.params.get("adj_x") else -1] if len(left) > 1 else 1
    return layer.outputs[0].size * summed


register_operators(
    Operator(
        "fully_connected",
        FileFormat(
            8,
            (
                activation(0),
                quiet(1, "byte", "weights_format"),
                quiet(2, "bool", "keep_num_dims", False),
                asymmetric(3),
                quiet(4, "byte", "quantized_bias_type"),
            ),
            dynamic_params={"asymmetric_quantize_inputs": True},
        ),
        Quantization(channel_axis=0),
        drawn(
            _draw_fully_connected,
            uint8=(14, 3),
            float32=(260, 2),
            int8=(160, 2),
            dynamic_int8=(120, 2),
            int16=(130, 2),
        ),
        widths=_fully_connected_axes,
        arithmetic=Arithmetic(sizes.dense_macs),
        features="matrix",
        row="matrix",
        events={"Fully Connected": 0.0, "Dynamic Fully Connected": 0.0, "Batch Matrix Multiply": 0.1},
        reference=ReferenceLayers(
            lambda op, dtype, s: fully_connected(
                s["in_channels"], s["out_channels"], s["rows"], s.get("activation", "none"), dtype
            ),
            [
                {"in_channels": inside, "out_channels": outside, "rows": 1}
                for inside, outside in ((64, 64), (256, 128), (512, 128), (512, 512), (1024, 128))
            ],
            {
                "out_channels": (*sizes.REFERENCE_WIDTHS, 512, 1024),
                "in_channels": (*sizes.REFERENCE_WIDTHS, 512, 1024),
                "rows": (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 48, 64),
                "activation": ("none", "relu"),
            },
        ),
        output_width=OutputWidth("output units"),
        words="fully connected layer",
    ),
    Operator(
        "batch_matmul:stored", draws=drawn(_draw_stored, float32=(14, 112), int8=(14, 70)), features="matrix"
    ),
    Operator(
        "batch_matmul",
        FileFormat(101, (flag(0, "adj_x"), flag(1, "adj_y"), asymmetric(2))),
        # XNNPACK multiplies int8 matrices only where the zero point is 0, which in networks it is not.
        Quantization(zero_point=3),
        drawn(_draw_batch_matmul, float32=(80, 17), int8=(50, 23), int16=(40, 23)),
        widths=_batch_matmul_axes,
        arithmetic=Arithmetic(_product_macs),
        features="matrix",
        events={"Batch Matrix Multiply": 0.0, "Dynamic Fully Connected": 0.1, "Fully Connected": 0.5},
        reference=ReferenceLayers(
            lambda op, dtype, s: batch_matmul(
                (1, s["heads"]), s["rows"], s["inner"], s["columns"], dtype=dtype
            ),
            [
                {"heads": heads, "rows": rows, "inner": inner, "columns": rows}
                for heads, rows, inner in ((4, 64, 32), (8, 32, 64), (4, 128, 16))
            ],
            {
                "rows": sizes.REFERENCE_SIDES[3:],
                "inner": (8, 16, 32, 64, 128),
                "columns": sizes.REFERENCE_WIDTHS[5:29],
                "heads": (1, 2, 4, 8),
            },
        ),
    ),
)
