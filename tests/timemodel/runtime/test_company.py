from __future__ import annotations

from profiler.network import Layer, Tensor
from profiler.operators import binary, concatenation, conv_2d, pad, unary
from profiler.probes import Probe
from timemodel.features import AT_INPUT, kind_of
from timemodel.runtime import borders_through, placed

CONV = conv_2d(4, 4, 8, 8, dtype="int8")
SHAPE = (1, 4, 4, 8)


def test_only_the_layer_that_reads_the_input_is_another_kind():
    layers = placed(Probe("chain", (CONV,) * 3).network, ())
    assert [kind_of(layer)[0] for layer in layers] == ["conv_2d" + AT_INPUT, "conv_2d", "conv_2d"]


def test_what_the_cpu_made_counts_as_input():
    probe = Probe("chain", (CONV, unary("sqrt", SHAPE, "int8"), CONV))
    layers = placed(probe.network, {("sqrt", "int8")})
    assert [kind_of(layer)[0] for layer in layers] == ["conv_2d" + AT_INPUT, "sqrt", "conv_2d" + AT_INPUT]


def test_an_activation_by_table_belongs_to_the_layer_before_if_nothing_else_reads_that():
    table = unary("hard_swish", SHAPE, "int8")
    alone = placed(Probe("chain", (CONV, table, CONV)).network, ())
    assert alone[0].params["activation"] == "tanh"
    add = binary("add", SHAPE, SHAPE, dtype="int8")
    shared = placed(Probe("network", (CONV, table, add), ((-1,), (0,), (0, 1))).network, ())
    assert shared[0].params["activation"] == "none"


def test_a_join_copies_only_what_is_read_elsewhere_too():
    join = concatenation([SHAPE, SHAPE], 3, "int8")
    apart = Probe("network", (CONV, CONV, CONV, join), ((-1,), (0,), (0,), (1, 2)))
    assert kind_of(placed(apart.network, ())[3])[0] == "concatenation"
    shared = Probe("network", (CONV, CONV, join), ((-1,), (0,), (0, 1)))
    assert kind_of(placed(shared.network, ())[2])[0] == "concatenation" + AT_INPUT


def test_what_lies_outside_of_fast_memory_is_told_in_bytes():
    network = Probe("chain", (CONV,) * 3).network
    roomy, tight = placed(network, (), (), 1000.0), placed(network, (), (), 100.0)
    names = ("outside_in_bytes", "outside_out_bytes")
    assert [[layer.params.get(name, 0) for name in names] for layer in roomy] == [[128, 0], [0, 0], [0, 128]]
    assert tight[0].params[names[0]] == 128
    assert all("outside_in_bytes" not in layer.params for layer in placed(network, ()))


def test_what_one_call_of_the_accelerator_hands_to_the_next_is_read_as_input_is():
    root, add = unary("sqrt", SHAPE, "int8"), binary("add", SHAPE, SHAPE, dtype="int8")
    # The first result is read on both sides of what the CPU does.
    probe = Probe("network", (CONV, CONV, root, add), ((-1,), (0,), (1,), (2, 0)))
    found = placed(probe.network, {("sqrt", "int8")})
    kinds = [kind_of(layer)[0] for layer in found]
    assert kinds == ["conv_2d" + AT_INPUT, "conv_2d" + AT_INPUT, "sqrt", "add" + AT_INPUT]


def test_a_border_reaches_its_convolution_through_another_form_of_the_same_data():
    border = pad((1, 6, 8), ((0, 0), (2, 0), (0, 0)), "int8")
    form = Layer("reshape", border.outputs, (Tensor((1, 1, 8, 8), "int8"),))
    window = conv_2d(1, 8, 8, 8, (1, 3), padding="valid", dtype="int8")
    assert borders_through(Probe("chain", (border, form, window)).network) == [0]
    wide = conv_2d(1, 8, 8, 8, (1, 3), dtype="int8")
    assert borders_through(Probe("chain", (border, form, wide)).network) == []
    assert borders_through(Probe("chain", (border, form)).network) == []
