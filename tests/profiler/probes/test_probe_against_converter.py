"""Each probe against what TensorFlow's converter makes of the same layer.

TensorFlow writes the layer; its file is read. The operator must be the one that the probe has, with equal shapes and
parameters. Then the probe gets the weights and scales of that file, and both files run on the same input: same outputs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compressor.export.silence import quiet
from profiler import operators
from profiler.network import Layer, Tensor
from profiler.operators import pooling, reshaping, slicing
from profiler.operators.recurrent import lstm
from profiler.operators.reduction import arg_max, cumsum, top_k
from profiler.probes import Probe
from profiler.tflite import OPERATORS, encode, read_network
from profiler.tflite.objects import to_objects

tf = pytest.importorskip("tensorflow")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")

MAP = (1, 9, 11, 12)
RNG = np.random.default_rng(5)


def weights(*shape):
    return tf.constant(RNG.normal(size=shape).astype(np.float32) * 0.3)


ACTIVATIONS = {"none": tf.identity, "relu": tf.nn.relu, "relu6": tf.nn.relu6}


def conv(kernel=(3, 3), stride=(1, 1), dilation=(1, 1), padding="same", activation="relu", out=20):
    kernels, bias = weights(*kernel, 12, out), weights(out)

    def layer(x):
        y = tf.nn.conv2d(x, kernels, stride, padding.upper(), dilations=dilation)
        return ACTIVATIONS[activation](y + bias)

    return lambda dtype: operators.conv_2d(
        9, 11, 12, out, kernel, stride, dilation, padding, activation, dtype
    ), layer


def depthwise(kernel=(3, 3), stride=1, padding="same", activation="none"):
    kernels, bias = weights(*kernel, 12, 1), weights(12)

    def layer(x):
        y = tf.nn.depthwise_conv2d(x, kernels, (1, stride, stride, 1), padding.upper())
        return ACTIVATIONS[activation](y + bias)

    return (
        lambda dtype: operators.depthwise_conv_2d(
            9, 11, 12, kernel, (stride, stride), (1, 1), padding, activation, dtype
        ),
        layer,
    )


def dense(activation="none", rows=1):
    kernel, bias = weights(30, 17), weights(17)
    return (
        lambda dtype: operators.fully_connected(30, 17, rows, activation, dtype),
        lambda x: ACTIVATIONS[activation](tf.matmul(x, kernel) + bias),
    )


def pool(op, kernel, stride, padding):
    function = tf.nn.avg_pool2d if op == "average_pool_2d" else tf.nn.max_pool2d
    return (
        lambda dtype: operators.pool_2d(op, 9, 11, 12, kernel, stride, padding, dtype),
        lambda x: function(x, kernel, stride, padding.upper()),
    )


def unary(op, function, shape=MAP):
    return lambda dtype: operators.unary(op, shape, dtype), function


def binary(op, function, right=MAP, activation="none", constant=False):
    layer = lambda dtype: operators.binary(op, MAP, right, activation, dtype, constant)  # noqa: E731
    if constant:
        stored = weights(*right)
        return layer, lambda x: ACTIVATIONS[activation](function(x, stored))
    return layer, lambda x, y: ACTIVATIONS[activation](function(x, y))


def grouped_conv():
    kernels, bias = weights(3, 3, 4, 18), weights(18)
    return (
        lambda dtype: operators.grouped_conv_2d(9, 11, 3, 12, 18, (3, 3), activation="relu", dtype=dtype),
        lambda x: tf.nn.relu(tf.nn.conv2d(x, kernels, 1, "SAME") + bias),
    )


def reduction(op, function):
    return [
        (lambda dtype: operators.reduce(op, MAP, (1, 2), False, dtype), lambda x: function(x, (1, 2))),
        (
            lambda dtype: operators.reduce(op, MAP, (3,), True, dtype),
            lambda x: function(x, [3], keepdims=True),
        ),
    ]


def selected():
    def layer(dtype):
        mask, other = Tensor(MAP, "bool"), Tensor((), dtype, True)
        return Layer("select_v2", (mask, Tensor(MAP, dtype), other), (Tensor(MAP, dtype),))

    return layer, lambda mask, x: tf.where(mask, x, tf.constant(-3.0))


def embedding():
    table = weights(40, 6)
    return (
        lambda dtype: operators.gather((40, 6), (1, 9), 0, dtype, table=True),
        lambda indices: tf.gather(table, indices),
    )


def slopes():
    slope = weights(1, 1, 12)
    return (
        lambda dtype: operators.binary("prelu", MAP, (1, 1, 12), dtype=dtype, constant=True),
        lambda x: tf.nn.relu(x) + -slope * tf.nn.relu(-x),
    )


def transposed_conv():
    kernels, bias = weights(3, 3, 7, 12), weights(7)
    return (
        lambda dtype: operators.transpose_conv(9, 11, 12, 7, (3, 3), (2, 2), "same", dtype),
        lambda x: tf.nn.conv2d_transpose(x, kernels, (1, 18, 22, 7), 2, "SAME") + bias,
    )


PADDINGS = ((0, 0), (1, 2), (0, 3), (0, 0))


def fused_lstm():
    kernel, recurrent, bias = weights(4, 24), weights(6, 24), weights(24)

    # By these attributes the converter knows a function for an LSTM, as tf.keras 2 marked it.
    marks = {
        "api_implements": "lstm_0",
        "api_preferred_device": "CPU",
        "time_major": False,
        "go_backwards": False,
    }

    @tf.function(experimental_attributes=marks)
    def standard_lstm(x, h, c, kernel, recurrent, bias):
        steps = []
        for step in range(5):
            z = tf.matmul(x[:, step], kernel) + tf.matmul(h, recurrent) + bias
            i, f, g, o = tf.split(z, 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            h = tf.sigmoid(o) * tf.tanh(c)
            steps.append(h)
        return h, tf.stack(steps, axis=1), h, c, tf.constant(1.0)

    def layer(x):
        zeros = tf.zeros((1, 6))
        return standard_lstm(x, zeros, zeros, kernel, recurrent, bias)[1]

    return lambda dtype: lstm(5, 4, 6, dtype=dtype), layer


# Operator -> cases, each the probe's layer by its dtype and the function that TensorFlow converts.
CASES = {
    "conv_2d": [
        conv(),
        conv((1, 1), activation="none"),
        conv((5, 3), (2, 2), padding="valid", activation="relu6"),
        conv(dilation=(2, 2), activation="none"),
    ],
    "depthwise_conv_2d": [depthwise(), depthwise((5, 5), 2, "valid", "relu6")],
    "fully_connected": [dense(), dense("relu", rows=4)],
    "transpose_conv": [transposed_conv()],
    "add": [
        binary("add", tf.add),
        binary("add", tf.add, activation="relu"),
        binary("add", tf.add, (1, 1, 1, 12)),
        binary("add", tf.add, (12,), constant=True),
    ],
    "mul": [
        binary("mul", tf.multiply),
        binary("mul", tf.multiply, (1, 1, 1, 12)),
        binary("mul", tf.multiply, (12,), constant=True),
    ],
    "sub": [binary("sub", tf.subtract), binary("sub", tf.subtract, (1, 1, 1, 12))],
    "average_pool_2d": [
        pool("average_pool_2d", (2, 2), (2, 2), "valid"),
        pool("average_pool_2d", (3, 3), (1, 1), "same"),
    ],
    "max_pool_2d": [
        pool("max_pool_2d", (2, 2), (2, 2), "valid"),
        pool("max_pool_2d", (3, 2), (2, 1), "same"),
    ],
    "mean": [
        (
            lambda dtype: operators.reduce("mean", MAP, (1, 2), False, dtype),
            lambda x: tf.reduce_mean(x, (1, 2)),
        ),
        (
            lambda dtype: operators.reduce("mean", MAP, (1, 2), True, dtype),
            lambda x: tf.reduce_mean(x, (1, 2), keepdims=True),
        ),
        (
            lambda dtype: operators.reduce("mean", (1, 7, 5), (1,), False, dtype),
            lambda x: tf.reduce_mean(x, [1]),
        ),
    ],
    "softmax": [unary("softmax", tf.nn.softmax, (3, 40))],
    "pad": [(lambda dtype: operators.pad(MAP, PADDINGS, dtype), lambda x: tf.pad(x, PADDINGS))],
    "concatenation": [
        (
            lambda dtype: operators.concatenation([MAP, (1, 9, 11, 5)], 3, dtype),
            lambda x, y: tf.concat([x, y], 3),
        )
    ],
    "reshape": [(lambda dtype: operators.reshape(MAP, (1, 1188), dtype), lambda x: tf.reshape(x, (1, 1188)))],
    "transpose": [
        (
            lambda dtype: operators.transpose(MAP, (0, 3, 1, 2), dtype),
            lambda x: tf.transpose(x, (0, 3, 1, 2)),
        )
    ],
    "resize_bilinear": [
        (
            lambda dtype: pooling.resize("resize_bilinear", 9, 11, 12, 18, 22, dtype),
            lambda x: tf.image.resize(x, (18, 22), "bilinear"),
        )
    ],
    "resize_nearest_neighbor": [
        (
            lambda dtype: pooling.resize("resize_nearest_neighbor", 9, 11, 12, 18, 22, dtype),
            lambda x: tf.image.resize(x, (18, 22), "nearest"),
        )
    ],
    "batch_matmul": [
        (
            lambda dtype: operators.batch_matmul((1, 4), 6, 8, 5, False, dtype),
            tf.matmul,
        ),
        (
            lambda dtype: operators.batch_matmul((1, 4), 6, 8, 5, True, dtype),
            lambda x, y: tf.matmul(x, y, transpose_b=True),
        ),
    ],
    "unidirectional_sequence_lstm": [fused_lstm()],
    "logistic": [unary("logistic", tf.sigmoid)],
    "tanh": [unary("tanh", tf.tanh)],
    "relu": [unary("relu", tf.nn.relu)],
    "relu6": [unary("relu6", tf.nn.relu6)],
    "elu": [unary("elu", tf.nn.elu)],
    "gelu": [unary("gelu", lambda x: tf.nn.gelu(x))],
    "exp": [unary("exp", tf.exp)],
    "rsqrt": [unary("rsqrt", tf.math.rsqrt)],
    "sqrt": [unary("sqrt", tf.sqrt)],
    "square": [unary("square", tf.square)],
    "leaky_relu": [
        (
            lambda dtype: replace(operators.unary("leaky_relu", MAP, dtype), params={"alpha": 0.25}),
            lambda x: tf.nn.leaky_relu(x, 0.25),
        )
    ],
    "neg": [unary("neg", tf.negative)],
    "conv_2d:grouped": [grouped_conv()],
    "depthwise_conv_2d:large": [depthwise((7, 7))],
    "div": [binary("div", tf.divide)],
    "maximum": [binary("maximum", tf.maximum), binary("maximum", tf.maximum, (12,), constant=True)],
    "squared_difference": [binary("squared_difference", tf.math.squared_difference, (1, 9, 11, 1))],
    "pow": [binary("pow", tf.pow)],
    "prelu": [slopes()],
    "greater": [(lambda dtype: operators.compare("greater", MAP, MAP, dtype), tf.greater)],
    "select_v2": [selected()],
    "cast": [
        (lambda dtype: operators.unary("cast", MAP, "float32", "int32"), lambda x: tf.cast(9 * x, tf.int32))
    ],
    "sum": reduction("sum", tf.reduce_sum),
    "reduce_max": reduction("reduce_max", tf.reduce_max),
    "arg_max": [(lambda dtype: arg_max(MAP, dtype), lambda x: tf.argmax(x, -1))],
    "log_softmax": [unary("log_softmax", tf.nn.log_softmax, (3, 40))],
    "cumsum": [(lambda dtype: cumsum((1, 9, 6), 1, dtype), lambda x: tf.cumsum(x, 1))],
    "topk_v2": [(lambda dtype: top_k(5, 40, 4, dtype), lambda x: tf.math.top_k(x, 4))],
    "strided_slice": [
        (
            lambda dtype: operators.strided_slice((1, 9, 6), ((0, 1, 1), (8, 1, 1), (0, 6, 1)), (1,), dtype),
            lambda x: x[:, 8, :],
        ),
        (
            lambda dtype: operators.strided_slice(
                MAP, ((0, 1, 1), (0, 5, 2), (1, 5, 2), (0, 12, 1)), (), dtype
            ),
            lambda x: x[:, ::2, 1::2, :],
        ),
    ],
    "slice": [
        (
            lambda dtype: slicing.slice_((1, 9, 6), 1, 2, 4, dtype),
            lambda x: tf.slice(x, (0, 2, 0), (1, 4, 6)),
        )
    ],
    "split": [(lambda dtype: operators.split((1, 24), 1, 4, dtype), lambda x: tf.split(x, 4, axis=1))],
    "unpack": [(lambda dtype: operators.unpack((5, 1, 8), 0, dtype), lambda x: tf.unstack(x, axis=0))],
    "pack": [(lambda dtype: operators.pack(2, (1, 8), 1, dtype), lambda x, y: tf.stack([x, y], axis=1))],
    "gather": [
        embedding(),
        (lambda dtype: operators.gather((7, 1, 8), (), 0, dtype), lambda x, i: tf.gather(x, i, axis=0)),
    ],
    "tile": [
        (lambda dtype: operators.tile((1, 1, 1, 6), (1, 3, 2, 1), dtype), lambda x: tf.tile(x, (1, 3, 2, 1)))
    ],
    "broadcast_to": [
        (
            lambda dtype: operators.broadcast_to((1, 9, 1, 6), (1, 9, 4, 6), dtype),
            lambda x: tf.broadcast_to(x, (1, 9, 4, 6)),
        )
    ],
    "mirror_pad": [
        (
            lambda dtype: operators.pad(MAP, PADDINGS, dtype, "mirror_pad"),
            lambda x: tf.pad(x, PADDINGS, "REFLECT"),
        )
    ],
    "reverse_v2": [(lambda dtype: reshaping.reverse(MAP, 2, dtype), lambda x: tf.reverse(x, [2]))],
    "one_hot": [(lambda dtype: slicing.one_hot((1, 9), 7, dtype), lambda i: tf.one_hot(i, 7))],
    "space_to_depth": [
        (
            lambda dtype: reshaping.blocks("space_to_depth", 8, 6, 5, 2, dtype),
            lambda x: tf.nn.space_to_depth(x, 2),
        )
    ],
    "depth_to_space": [
        (
            lambda dtype: reshaping.blocks("depth_to_space", 8, 6, 20, 2, dtype),
            lambda x: tf.nn.depth_to_space(x, 2),
        )
    ],
    "space_to_batch_nd": [
        (
            lambda dtype: reshaping.blocks("space_to_batch_nd", 8, 6, 5, 2, dtype),
            lambda x: tf.space_to_batch(x, (2, 2), ((0, 0), (0, 0))),
        )
    ],
    "batch_to_space_nd": [
        (
            lambda dtype: reshaping.blocks("batch_to_space_nd", 4, 3, 5, 2, dtype),
            lambda x: tf.batch_to_space(x, (2, 2), ((0, 0), (0, 0))),
        )
    ],
    "log": [unary("log", tf.math.log)],
    "sin": [unary("sin", tf.sin)],
    "cos": [unary("cos", tf.cos)],
    "floor": [unary("floor", lambda x: tf.floor(9 * x))],
    "relu_n1_to_1": [unary("relu_n1_to_1", lambda x: tf.clip_by_value(x, -1.0, 1.0))],
    "abs": [unary("abs", tf.abs)],
    "hard_swish": [unary("hard_swish", lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6))],
    "quantize": [unary("relu", tf.nn.relu)],
    "dequantize": [unary("relu", tf.nn.relu)],
}

OF_16_BITS = (
    "conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv", "conv_2d:grouped", "batch_matmul", "add", "mul", "sub",
    "mean", "softmax", "logistic", "tanh", "average_pool_2d", "concatenation", "pad", "strided_slice", "split", "leaky_relu",
    "quantize", "dequantize",
)  # fmt: skip
# Operators that few networks have are only run (see `test_probe`).
COVERED = [
    (op, dtype)
    for dtype in ("float32", "int8")
    for op, draws in operators.catalogue(dtype).items()
    if draws.count > 10 and op in CASES
]
COVERED += [(op, "int16") for op in OF_16_BITS]


def typical(op, tensor):
    """Inputs for which `op` is defined; indices are in range."""
    values = RNG.normal(size=tensor.shape).astype(np.float32)
    if tensor.dtype == "int32":
        return RNG.integers(0, 7, tensor.shape).astype(np.int32)
    if tensor.dtype == "bool":
        return values > 0
    return np.abs(values) + np.float32(0.1) if op in POSITIVE else values


WITHOUT_REFERENCE = {"elu", "tile", "depth_to_space", "sum"}
"""No reference kernel of the version that the converter writes, or (integer sums) one that answers -1 to all."""
POSITIVE = {"rsqrt", "sqrt", "log", "pow", "div"}
FEW_VALUES = {"one_hot": 2, "greater": 2, "mean": 3}
INTEGER_OPS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


def convert(function, layer, dtype, op=""):
    """The `.tflite` that TensorFlow's converter makes of `function` on inputs like those of `layer`."""
    specs = [
        tf.TensorSpec(t.shape, tf.as_dtype(t.dtype), f"input_{k}") for k, t in enumerate(layer.activations)
    ]
    rows = [{f"input_{k}": typical(op, t) for k, t in enumerate(layer.activations)} for _ in range(20)]
    with quiet():
        module = tf.Module()
        traced = tf.function(function).get_concrete_function(*specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], module)
        if dtype in INTEGER_OPS:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: iter(rows)
            converter.target_spec.supported_ops = [INTEGER_OPS[dtype]]
        return converter.convert()


class Loaded:
    """A file in an interpreter that keeps all tensors, so that single operators can be looked at."""

    def __init__(self, content, kernels):
        resolver = getattr(interpreter.OpResolverType, kernels)
        self.runner = interpreter.Interpreter(
            model_content=content,
            experimental_op_resolver_type=resolver,
            experimental_preserve_all_tensors=kernels != "AUTO",
        )
        self.runner.allocate_tensors()
        self.details = {detail["index"]: detail for detail in self.runner.get_tensor_details()}

    def operands(self, op):
        """Tensor numbers (inputs, outputs) of the only operator `op`."""
        (found,) = (d for d in self.runner._get_ops_details() if d["op_name"].lower() == op)
        return [i for i in found["inputs"] if i >= 0], list(found["outputs"])

    def run(self, inputs):
        details = sorted(
            self.runner.get_input_details(),
            key=lambda detail: detail["name"].removeprefix("serving_default_"),
        )
        for detail, value in zip(details, inputs, strict=True):
            self.runner.set_tensor(detail["index"], value)
        self.runner.invoke()

    def __getitem__(self, index):
        return np.array(self.runner.get_tensor(index))


def intermediates(content, op):
    """Tensors of the only operator `op` that nothing but itself uses, as the file has them."""
    model = to_objects(content)
    (graph,) = model.subgraphs
    codes = [OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    (found,) = (one for one in graph.operators if codes[one.opcodeIndex] == op)
    return [graph.tensors[i] for i in (() if found.intermediates is None else found.intermediates)]


def copy_constants_and_scales(plan, converted, inputs, outputs, inner):
    """Give the probe the weights and scales of the converter's file."""
    operands = [i for i in plan.operators[0].inputs if i >= 0]
    for here, there in zip(plan.operators[0].intermediates, inner, strict=True):
        stored = there.quantization
        if plan.tensors[here].scales:
            plan.tensors[here].scales = tuple(map(float, stored.scale))
            plan.tensors[here].zero_points = tuple(map(int, stored.zeroPoint))
    for here, there in zip([*operands, *plan.operators[0].outputs], [*inputs, *outputs], strict=True):
        tensor, quantization = plan.tensors[here], converted.details[there]["quantization_parameters"]
        if tensor.data is not None:
            tensor.data = converted[there]
        tensor.scales = tuple(float(s) for s in quantization["scales"])
        tensor.zero_points = tuple(int(z) for z in quantization["zero_points"])
        tensor.axis = int(quantization["quantized_dimension"])


def check(case, op, dtype):
    make_layer, function = case
    content = convert(function, make_layer("float32"), dtype, op)
    op = op.partition(":")[0]
    (read,) = (layer for layer in read_network(content).layers if layer.op == op)
    wanted = make_layer(dtype)
    if op in ("quantize", "dequantize"):
        pair = ("float32", dtype) if op == "quantize" else (dtype, "float32")
        wanted = operators.unary(op, wanted.inputs[0].shape, *pair)

    # The same layer: shapes, types, constants and parameters.
    assert [(t.shape, t.dtype, t.constant) for t in wanted.inputs] == [
        (t.shape, t.dtype, t.constant) for t in read.inputs
    ]
    assert [(t.shape, t.dtype) for t in wanted.outputs] == [(t.shape, t.dtype) for t in read.outputs]
    common = {name: value for name, value in wanted.params.items() if name in read.params}
    assert common == {name: read.params[name] for name in common}
    assert wanted.macs == read.macs

    # The same outputs from the same weights and inputs.
    values = [typical(op, t) for t in make_layer("float32").activations]
    for kernels in ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"):
        if kernels == "BUILTIN_REF" and op in WITHOUT_REFERENCE:
            continue
        converted = Loaded(content, kernels)
        inputs, outputs = converted.operands(op)
        plan = Probe("layer", (wanted,)).lay_out()
        copy_constants_and_scales(plan, converted, inputs, outputs, intermediates(content, op))
        converted.run(values)
        data = [converted[i] for i, t in zip(inputs, read.inputs, strict=True) if not t.constant]
        expected = converted[outputs[0]]
        # The same kernels: equal to the bit. What the runtime takes by default (XNNPACK): equal but for rounding.
        for probed, exact in ((Loaded(encode(plan), kernels), True), (Loaded(encode(plan), "AUTO"), False)):
            probed.run(data)
            found = probed[probed.runner.get_output_details()[0]["index"]]
            assert found.dtype == expected.dtype
            assert len(np.unique(found)) >= FEW_VALUES.get(op, 5)
            if exact:
                np.testing.assert_array_equal(found, expected)
                continue
            tolerance = {"atol": 1, "rtol": 0} if found.dtype.kind == "i" else {"atol": 1e-5, "rtol": 1e-4}
            np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), **tolerance)


@pytest.mark.parametrize(("op", "dtype"), COVERED, ids=[f"{op}-{dtype}" for op, dtype in COVERED])
def test_probe_gives_what_the_converters_file_gives(op, dtype):
    for case in CASES[op]:
        check(case, op, dtype)
