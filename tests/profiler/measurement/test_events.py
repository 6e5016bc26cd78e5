from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measurement import OPERATOR, Event
from profiler.measurement.events import (
    DELEGATED,
    RUN_ENDS,
    align,
    layer_times_us,
    operator_times,
    scale_to_total,
)
from profiler.network import Edge, Layer, Network, Tensor
from profiler.operators import (
    binary,
    concatenation,
    conv_2d,
    depthwise_conv_2d,
    fully_connected,
    pad,
    reshape,
    unary,
)

WIDE = (1, 8, 8, 8)
CONV, POINTWISE = conv_2d(8, 8, 8, 8), conv_2d(8, 8, 8, 8, kernel=(1, 1))
DEPTHWISE, DENSE = depthwise_conv_2d(8, 8, 8), fully_connected(8, 4)
ADD, PAD, SIGMOID = (
    binary("add", WIDE, WIDE),
    pad(WIDE, ((0, 0), (1, 1), (1, 1), (0, 0))),
    unary("logistic", WIDE),
)
RESHAPE, CONCATENATION = reshape(WIDE, (1, 512)), concatenation((WIDE, WIDE, WIDE))
LSTM_LIKE = Layer("while", (Tensor((1,)),), (Tensor((1,)),))

CONV_TAG, DEPTHWISE_TAG = "Convolution (NHWC, F32) IGEMM", "Convolution (NHWC, F32) DWConv"
DENSE_TAG, ADD_TAG, CLAMP_TAG, COPY_TAG = (
    "Fully Connected (NC, F32) GEMM",
    "Add (ND)",
    "Clamp (NC)",
    "Copy (NC, X32)",
)
RESHAPE_TAG, SIGMOID_TAG, CONVERT_TAG = "Static Reshape (NC)", "Sigmoid (NC)", "Convert (NC, F32, QD8)"


def numbered(*layers: Layer, graph_first: int = 0, repeat: int = 1) -> list[Layer]:
    return [
        Layer(layer.op, layer.inputs, layer.outputs, layer.params, index=graph_first + i, repeat=repeat)
        for i, layer in enumerate(layers)
    ]


def chain(*layers: Layer) -> Network:
    edges = tuple(Edge((i,), (i + 1,)) for i in range(len(layers)))
    return Network("net", tuple(numbered(*layers)), edges)


def delegated(*rows: tuple[str, float], graph: int = 0) -> list[Event]:
    return [Event(tag, DELEGATED, node, graph, time_us) for node, (tag, time_us) in enumerate(rows)]


def builtin(node: int, time_us: float, graph: int = 0, tag: str = "OP") -> Event:
    return Event(tag, OPERATOR, node, graph, time_us)


def aligned(tags: list[str], *layers: Layer) -> list[int | None]:
    return align(delegated(*((tag, 1.0) for tag in tags)), numbered(*layers))


# --- Alignment ----------------------------------------------------------------------------------------------


def test_one_event_each() -> None:
    assert aligned([CONV_TAG, DEPTHWISE_TAG, DENSE_TAG, ADD_TAG], CONV, DEPTHWISE, POINTWISE, ADD) == [
        0,
        1,
        2,
        3,
    ]


def test_a_pad_that_was_fused_has_no_event() -> None:
    assert aligned([CONV_TAG, CONV_TAG], PAD, CONV, PAD, CONV) == [1, 3]
    assert aligned(["Constant Pad (ND, X32)", CONV_TAG], PAD, CONV) == [0, 1]


def test_a_clamp_belongs_to_the_operator_with_the_activation() -> None:
    with_relu = binary("add", WIDE, WIDE, activation="relu")
    assert aligned([ADD_TAG, CLAMP_TAG, ADD_TAG], with_relu, ADD) == [0, 0, 1]
    assert aligned([ADD_TAG, CLAMP_TAG, ADD_TAG], ADD, unary("relu", WIDE), ADD) == [0, 1, 2]


def test_a_conversion_belongs_to_the_dynamic_operator_that_follows() -> None:
    dynamic = conv_2d(8, 8, 8, 8, dtype="dynamic_int8")
    tags = [DEPTHWISE_TAG, CONVERT_TAG, "Convolution (NHWC, QD8, F32, QC8W) IGEMM"]
    assert aligned(tags, DEPTHWISE, dynamic) == [0, 1, 1]


def test_an_inserted_reshape_stays_with_its_neighbour() -> None:
    assert aligned([RESHAPE_TAG, RESHAPE_TAG, DENSE_TAG], RESHAPE, DENSE) == [0, 1, 1]
    assert aligned([RESHAPE_TAG, DENSE_TAG, RESHAPE_TAG, DENSE_TAG], DENSE, DENSE) == [0, 0, 1, 1]


def test_copies_belong_to_the_concatenation() -> None:
    assert aligned([CONV_TAG, COPY_TAG, COPY_TAG, COPY_TAG, CONV_TAG], CONV, CONCATENATION, CONV) == [
        0,
        1,
        1,
        1,
        2,
    ]


def test_unpacked_weights_have_no_event() -> None:
    unpack = Layer("dequantize", (Tensor((8,), "float16", True),), (Tensor((8,)),))
    assert aligned([CONV_TAG, CONV_TAG], unpack, unpack, CONV, unpack, CONV) == [2, 4]


def test_an_operator_of_an_unknown_name_takes_the_gap() -> None:
    strange = Layer("one_hot", (Tensor((8,)),), (Tensor((8, 4)),))
    assert aligned([CONV_TAG, "Hottest (ND)", DENSE_TAG], CONV, strange, DENSE) == [0, 1, 2]


def test_nothing_to_align() -> None:
    assert aligned([]) == []
    assert aligned([], CONV) == []
    assert aligned([CONV_TAG]) == [None]


@given(st.lists(st.sampled_from([0, 1, 2, 3]), min_size=1, max_size=25), st.data())
def test_fusing_and_inserting_never_shifts_the_heavy_operators(kinds: list[int], data: st.DataObject) -> None:
    choices = [(CONV, CONV_TAG), (DEPTHWISE, DEPTHWISE_TAG), (ADD, ADD_TAG), (SIGMOID, SIGMOID_TAG)]
    layers: list[Layer] = []
    rows: list[tuple[str, int]] = []
    for kind in kinds:
        if data.draw(st.booleans(), label="pad that is fused"):
            layers.append(PAD)
        layer, tag = choices[kind]
        rows.append((tag, len(layers)))
        layers.append(layer)
        if data.draw(st.booleans(), label="reshape that is inserted"):
            rows.append((RESHAPE_TAG, -1))
    found = aligned([tag for tag, _ in rows], *layers)
    assert [index for index, (_, wanted) in zip(found, rows, strict=True) if wanted >= 0] == [
        wanted for _, wanted in rows if wanted >= 0
    ]


# --- Whole runs ---------------------------------------------------------------------------------------------


def test_the_runtimes_own_kernels_name_their_operator() -> None:
    times = operator_times(chain(CONV, ADD, SIGMOID), [builtin(0, 5.0), builtin(1, 0.25), builtin(2, 1.0)])
    assert times.known_us == {0: 5.0, 1: 0.25, 2: 1.0}
    assert times.unresolved == {}


def test_a_delegates_parts_are_filled_around_the_runtimes_own_kernels() -> None:
    events = [*delegated((CONV_TAG, 10.0)), builtin(1, 3.0), *delegated((CONV_TAG, 20.0), (SIGMOID_TAG, 2.0))]
    times = operator_times(chain(CONV, SIGMOID, CONV, SIGMOID), events)
    assert times.known_us == {0: 10.5, 1: 3.0, 2: 20.5, 3: 2.5}


def test_branches_that_can_run_early_belong_to_the_first_part() -> None:
    """File order: a, b (not delegated), c after b, d after a. XNNPACK runs a and d at once, then c."""
    layers = numbered(CONV, SIGMOID, CONV, CONV)
    edges = (Edge((0,), (1,)), Edge((1,), (2,)), Edge((2,), (3,)), Edge((1,), (4,)))
    events = [*delegated((CONV_TAG, 10.0), (CONV_TAG, 40.0)), builtin(1, 3.0), *delegated((CONV_TAG, 30.0))]
    times = operator_times(Network("net", tuple(layers), edges), events)
    assert times.known_us == {0: 10.5, 1: 3.0, 2: 30.5, 3: 40.5}


def test_what_was_fused_is_there_with_no_time() -> None:
    times = layer_times_us(chain(PAD, CONV), delegated((CONV_TAG, 10.0)), total_us=12.0)
    assert times == {0: 0.0, 1: pytest.approx(12.0)}


def loop_network() -> Network:
    """A loop of 3 turns (graph 2, condition in graph 1) between two operators."""
    main = numbered(CONV, LSTM_LIKE, DENSE)
    condition = numbered(SIGMOID, graph_first=3, repeat=4)
    body = numbered(ADD, SIGMOID, graph_first=4, repeat=3)
    layers = (main[0], main[1], *condition, *body, main[2])
    edges = (
        Edge((0,), (1,)), Edge((1,), (2,)), Edge((10,), (11,), 1), Edge((20,), (21,), 2), Edge((21,), (22,), 2),
        Edge((2,), (3,)),
    )  # fmt: skip
    return Network("loop", layers, edges)


def loop_events() -> list[Event]:
    events = [*delegated((CONV_TAG, 10.0)), builtin(1, 500.0, tag="WHILE")]
    for turn in range(4):
        events += [builtin(0, 1.0, graph=1), Event("Invoke", RUN_ENDS, -1, 1, 0.0)]
        if turn < 3:
            events += [
                *delegated((ADD_TAG, 2.0), (SIGMOID_TAG, 4.0), graph=2),
                Event("Invoke", RUN_ENDS, -1, 2, 0.0),
            ]
    return [*events, *delegated((DENSE_TAG, 7.0)), Event("Invoke", RUN_ENDS, -1, 0, 0.0)]


def test_a_loops_body_is_summed_over_its_turns() -> None:
    times = operator_times(loop_network(), loop_events())
    assert times.known_us == {0: 10.5, 2: 7.5, 3: 4.0, 4: 7.5, 5: 13.5}


def test_what_remains_is_the_cost_of_turning_the_loop() -> None:
    times = layer_times_us(loop_network(), loop_events(), total_us=60.0)
    assert times[1] == pytest.approx(60 - (10.5 + 7.5 + 4 + 7.5 + 13.5))
    assert sum(times.values()) == pytest.approx(60)


def test_a_loop_that_the_profiler_slowed_down_is_scaled() -> None:
    times = layer_times_us(loop_network(), loop_events(), total_us=21.5)
    assert times[1] == 0
    assert times[0] == pytest.approx(10.5 / 2)


# --- Totals -------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=20), st.floats(1.0, 1e6))
def test_times_add_up_to_the_total(times_us: list[float], total_us: float) -> None:
    network = chain(*[CONV] * len(times_us))
    times = layer_times_us(network, delegated(*((CONV_TAG, time_us) for time_us in times_us)), total_us)
    assert set(times) == set(range(len(times_us)))
    assert sum(times.values()) == pytest.approx(total_us)
    assert min(times.values()) > 0


def test_events_too_short_for_the_clock_take_what_is_left() -> None:
    network = chain(CONV, SIGMOID, ADD)
    events = delegated((CONV_TAG, 9.5), (SIGMOID_TAG, 0.0), (ADD_TAG, 0.0))
    roomy = layer_times_us(network, events, total_us=10.4)
    assert roomy == {0: pytest.approx(10.0), 1: pytest.approx(0.2), 2: pytest.approx(0.2)}
    tight = layer_times_us(network, events, total_us=9.0)
    assert tight[0] == pytest.approx(9.0 * 10 / 10.04)


def test_no_events_no_times() -> None:
    assert layer_times_us(chain(CONV), [], total_us=5.0) == {}


def test_shares_stay_when_the_total_changes() -> None:
    network = chain(CONV, ADD)
    assert scale_to_total(network, {0: 3.0, 1: 1.0}, 8.0) == {0: 6.0, 1: 2.0}
    assert scale_to_total(network, {0: 0.0, 1: 0.0}, 8.0) == {0: 0.0, 1: 0.0}
