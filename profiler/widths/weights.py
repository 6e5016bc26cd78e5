"""What operators with weights do to axes of changeable size: most of them choose one."""

from __future__ import annotations

from profiler.widths.axes import Size, scaled
from profiler.widths.step import Step


def convolution(step: Step) -> None:
    """A dense convolution chooses its output channels; one in groups fixes all."""
    data, weights = (2, 1) if step.layer.op == "transpose_conv" else (0, 1)
    if step.inputs <= max(data, weights) or not step.constant(weights):
        return step.freeze_all()
    sizes = step.read(data)
    shape = step.shape(weights)
    places = [step.freeze(s) for s in sizes[:-1]]
    three_d = step.layer.op == "conv_3d"
    inside, outside = (shape[-2], shape[-1]) if three_d else (shape[-1], shape[0])
    if inside != step.measure(sizes[-1]) or len(sizes) != len(shape):
        # A grouped convolution: what may change depends on how the groups are cut.
        return step.freeze_all()
    chosen = step.choose(outside)
    kernel = shape[:-2] if three_d else shape[1:-1]
    step.give(weights, [*kernel, sizes[-1], chosen] if three_d else [chosen, *kernel, sizes[-1]])
    step.give(3 if data == 2 else 2, [chosen])
    step.write([places[0], *step.out_shape()[1:-1], chosen])


def depthwise(step: Step) -> None:
    """Channels are handed on, each so many times; over a single channel the layer chooses."""
    if step.inputs < 2 or not step.constant(1) or len(step.shape(0)) != 4 or len(step.shape(1)) != 4:
        return step.freeze_all()
    sizes, shape = step.read(0), step.shape(1)
    places = [step.freeze(s) for s in sizes[:-1]]
    before, after = step.measure(sizes[3]), shape[3]
    if isinstance(sizes[3], int) and before == 1:
        out = step.choose(after)
    elif before and after % before == 0:
        out = scaled(sizes[3], inner=after // before)
    else:
        return step.freeze_all()
    step.give(1, [*shape[:3], out])
    step.give(2, [out])
    step.write([places[0], *step.out_shape()[1:3], out])


def fully_connected(step: Step) -> None:
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


def _flattened(step: Step, sizes: list[Size], features: int) -> Size | None:
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


def lookup(step: Step) -> None:
    """Rows of a table by number; a stored table's row length is free to choose."""
    table, numbers = (1, 0) if step.layer.op == "embedding_lookup" else (0, 1)
    if step.inputs < 2 or step.layer.params.get("batch_dims"):
        return step.freeze_all()
    axis = step.number("axis")
    sizes, indices = step.read(table), step.read(numbers)
    if step.constant(table) and axis == 0 and len(sizes) == 2 and not step.constant(numbers):
        chosen = step.choose(step.shape(table)[1])
        step.give(table, [step.shape(table)[0], chosen])
        step.write([*indices, chosen])
        return None
    if axis >= len(sizes) or not isinstance(sizes[axis], int):
        return step.freeze_all()
    step.write([*sizes[:axis], *indices, *sizes[axis + 1 :]])
    return None


def batch_matmul(step: Step) -> None:
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
        for sizes in (left, right):
            if place <= len(sizes) and not isinstance(sizes[-place], int):
                same = step.measure(sizes[-place]) == result[-place]
                result[-place] = (
                    step.unify(result[-place], sizes[-place]) if same else step.freeze(sizes[-place])
                )
    if step.constant(1) and all(isinstance(s, int) for s in right[:-2]):
        columns = step.choose(step.measure(right[-1]))
        step.give(1, [*right[:-2], columns, left[-1]] if transposed else [*right[:-2], left[-1], columns])
        step.write([*result[:-2], left[-2], columns])
        return None
    step.unify(left[-1], right[-2])
    step.write([*result[:-2], left[-2], right[-1]])
    return None


def lstm(step: Step) -> None:
    """A whole LSTM without peepholes and the like: 4 matrices each for input and state, 4 biases, 2
    states."""
    extras = ("coupled_gates", "peephole", "projection", "layer_norm", "diagonal_recurrent_tensors")
    if step.inputs != 15 or any(step.layer.params.get(name) for name in extras):
        return step.freeze_all()
    sizes = step.read(0)
    units = step.choose(step.out_shape()[-1])
    places = [step.freeze(s) for s in sizes[:-1]]
    for slot in range(1, 5):
        step.give(slot, [units, sizes[-1]])
    for slot in range(5, 9):
        step.give(slot, [units, units])
    for slot in range(9, 13):
        step.give(slot, [units])
    for slot in range(13, 15):
        step.give(slot, [*step.shape(slot)[:-1], units])
    step.write([*places, units])
    return None
