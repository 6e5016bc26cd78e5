from __future__ import annotations

from profiler.operators import binary, concatenation, conv_2d, unary
from profiler.probes import Probe
from timemodel.features import AT_INPUT, kind_of
from timemodel.runtime import placed
from timemodel.runtime.company import beside_bytes

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


def test_bytes_beside_a_layer_are_those_that_a_later_one_reads():
    add = binary("add", SHAPE, SHAPE, dtype="int8")
    probe = Probe("network", (CONV, CONV, CONV, add), ((-1,), (0,), (1,), (0, 2)))
    # The first result (128 bytes) waits while the third layer runs.
    assert beside_bytes(probe.network) == [0, 0, 128, 0]
