from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from probe_patterns import pattern_of

from profiler import operators
from profiler.devices import LocalTarget, Setting, Target
from profiler.measurement import Event, Profile
from profiler.measurement.observing import (
    PER_OPERATOR,
    batches,
    join_probes,
    observe,
    observe_batch,
    probes_to_observe,
    split_events,
)
from profiler.probes import Probe
from profiler.probes.pairs import plan_pairs

SHAPE = (1, 8, 8, 16)
CONV, RELU = operators.conv_2d(8, 8, 16, 16), operators.unary("relu", SHAPE)
PAIR = Probe("pair", (CONV, RELU))
ADD = Probe("pair", (CONV, operators.binary("add", SHAPE, SHAPE)), ((-1,), (0, -2)))
ALONE = Probe("layer", (RELU,))


def test_a_pair_of_each_kind_comes_first_then_its_parts_then_some_of_each_operator() -> None:
    others = [Probe("layer", (operators.unary("tanh", (1, n)),)) for n in range(2, 20)]
    chosen = probes_to_observe([*others, PAIR, Probe("pair", (operators.conv_2d(4, 4, 2, 16), RELU)), ADD])
    assert chosen[:2] == [PAIR, ADD]
    assert set(chosen[2:5]) == {Probe("layer", (CONV,)), ALONE, Probe("layer", (ADD.layers[1],))}
    assert chosen[5:] == others[:PER_OPERATOR]


def test_fused_activations_are_looked_at_too() -> None:
    plan = plan_pairs("float32")
    chosen = probes_to_observe(plan)
    seen = {probe.layers[0].params.get("activation") for probe in chosen if probe.kind == "layer"}
    assert {"none", "relu"} <= seen


def test_batches_are_small_and_lose_nothing() -> None:
    probes = plan_pairs("int8")
    groups = batches(probes)
    assert [probe for group in groups for probe in group] == probes
    assert max(len(group) for group in groups) <= 32
    assert batches([]) == []


def test_a_batch_is_one_network_of_separate_parts() -> None:
    network = join_probes([PAIR, ADD, ALONE]).network
    assert [layer.op for layer in network.layers] == [
        *("ceil", "conv_2d", "relu"),
        *("ceil", "conv_2d", "add"),
        *("ceil", "relu"),
    ]
    reads = [edge.inputs[0] for edge in network.edges]
    made = [edge.outputs[0] for edge in network.edges]
    assert reads[2] == made[1]
    assert reads[5] == made[4]
    assert len(network.inputs) == 3 + 1 + 2 + 1
    assert join_probes([PAIR]) == PAIR


def events(*rows: tuple[str, int, int]) -> list[Event]:
    return [Event(name, kind, node, 0, 1.0) for name, kind, node in rows]


def test_a_delegates_events_are_told_apart_by_the_markers() -> None:
    ran = events(
        ("Ceiling (NC)", 8, 0),
        ("Convolution (NHWC, F32)", 8, 1),
        ("Ceiling (NC)", 8, 2),
        ("Convolution (NHWC, F32)", 8, 3),
        ("Add (ND)", 8, 4),
        ("Ceiling (NC)", 8, 5),
        ("Clamp (NC)", 8, 6),
    )
    assert split_events([PAIR, ADD, ALONE], ran) == [
        [("Convolution", 8)],
        [("Convolution", 8), ("Add", 8)],
        [("Clamp", 8)],
    ]
    assert split_events([PAIR, ADD, ALONE], ran[2:]) is None


def test_the_runtimes_own_kernels_are_told_by_their_number() -> None:
    ran = events(
        ("Ceiling (NC)", 8, 0),
        ("Ceiling (NC)", 8, 1),
        ("Convolution (NHWC, F32)", 8, 2),
        ("CONV_2D", 2, 1),
        ("ADD", 2, 5),
        ("Clamp (NC)", 8, 0),
    )
    assert split_events([PAIR, ADD], ran) == [[("CONV_2D", 2), ("relu", 8)], [("conv_2d", 8), ("ADD", 2)]]


def test_without_a_delegate_every_operator_has_its_number() -> None:
    names = ["CEIL", "CONV_2D", "RELU", "CEIL", "RELU"]
    ran = events(*((name, 2, number) for number, name in enumerate(names)))
    assert split_events([PAIR, ALONE], ran) == [[("CONV_2D", 2), ("RELU", 2)], [("RELU", 2)]]


class Scripted(Target):
    """Runs nothing that has an operator of these names."""

    name = "scripted"

    def __init__(self, refuses: tuple[bytes, ...] = (), none: bool = False) -> None:
        self.refuses = refuses
        self.none = none
        self.asked = self.closed = 0

    @property
    def setting(self) -> Setting:
        return Setting("scripted", "1")

    def hello(self) -> dict[str, Any]:
        return {"cpu": "c"}

    def profile_layers(self, content: bytes, seconds: float = 1.0, shapes: Any = ()) -> dict[str, Any]:
        from profiler.tflite import read_network

        self.asked += 1
        layers = read_network(content).layers
        if self.none or any(layer.op.encode() in self.refuses for layer in layers):
            return {"error": "no"}
        return {"events": [[layer.op.upper(), 2, i, 0, 1.0] for i, layer in enumerate(layers)]}

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Profile.append(tmp_path / "p.db") as profile:
        profile.register(Setting("scripted", "1"), {"cpu": "c"})
        yield profile


def observed(target: Target, store: Profile, probes: list[Probe], seconds: float = 60.0) -> int:
    return observe(target, store, target.setting.key, probes, time.monotonic() + seconds)


PROBES = [
    PAIR,
    ADD,
    Probe("layer", (operators.unary("tanh", SHAPE),)),
    Probe("layer", (operators.unary("exp", SHAPE),)),
]


def test_one_that_cannot_run_does_not_hide_the_others(store: Profile) -> None:
    target = Scripted((b"tanh",))
    assert observed(target, store, PROBES) == 6
    seen = store.events(target.setting.key)
    assert seen.pop(PROBES[2].key) is None
    assert seen[PAIR.key] == [("CONV_2D", 2), ("RELU", 2)]
    assert len(seen) == 6
    assert target.closed == 1


def test_what_was_looked_at_is_not_looked_at_again(store: Profile) -> None:
    target = Scripted()
    assert observed(target, store, PROBES) == 7
    assert observed(target, store, PROBES) == 0
    assert target.asked == 1


def test_a_runtime_without_a_profiler_is_given_up_soon(store: Profile) -> None:
    target = Scripted(none=True)
    many = [Probe("layer", (operators.unary("tanh", (1, n)),)) for n in range(1, 5)]
    assert observed(target, store, [*PROBES, *many]) == 0
    assert target.asked < 25
    assert target.closed == 0


def test_time_that_is_up_ends_it_after_the_pairs(store: Profile) -> None:
    target = Scripted()
    assert observed(target, store, PROBES[2:], seconds=-1.0) == 0
    assert target.asked == 0
    many = [*plan_pairs("float32"), *PROBES]
    assert 0 < observed(target, store, many, seconds=-1.0) < len(probes_to_observe(many))
    seen = store.events(target.setting.key)
    assert {probe.key for probe in probes_to_observe(many) if probe.kind == "pair"} <= set(seen)


# --- For real -----------------------------------------------------------------------------------------------


def by_pattern(target: Target) -> dict[str, int]:
    """Number of operators that ran, by pattern; 24 x 24 pairs in a few networks."""
    pairs = [probe for probe in plan_pairs("float32") if probe.kind == "pair"][:40]
    found = {}
    for batch in batches(pairs):
        seen = observe_batch(target, batch)
        assert seen is not None
        found |= {pattern_of(probe): len(rows) for probe, rows in zip(batch, seen, strict=True)}
    return found


def test_xnnpack_runs_some_neighbours_as_one_and_built_in_kernels_none() -> None:
    with LocalTarget() as target:
        fused = {pattern for pattern, ran in by_pattern(target).items() if ran == 1}
        assert {"pad+conv_2d", "pad+depthwise_conv_2d", "conv_2d+relu"} <= fused
        assert not fused & {"conv_2d+add", "conv_2d+tanh", "pad+max_pool_2d"}
    with LocalTarget(kernels="builtin") as target:
        assert set(by_pattern(target).values()) == {2}


def test_tflite_runtime_fuses_by_rules_of_its_own(tflite_runtime: str) -> None:
    with LocalTarget(python=tflite_runtime) as target:
        fused = {pattern for pattern, ran in by_pattern(target).items() if ran == 1}
    assert {"pad+conv_2d", "conv_2d+relu", "add+relu"} <= fused
