"""Cascades stop each row where they are sure of it, and combine what all stages so far say."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_policies import dense, network, picks, saved, two_stages

from profiler.errors import DataError, EdgetimeError
from profiler.network import Layer, Tensor
from profiler.tflite.writer import ModelPlan, OperatorPlan, TensorPlan, encode
from selector.policies import replay
from selector.runtime import PolicyNetwork, Specification, Stage, load_policy, log_probabilities
from selector.runtime.confidence import FLOOR, confidence, log_softmax
from selector.runtime.signals import Signal

SURE = [0.8, 0.1, 0.1, 0, 0.9, 0.1]
TORN = [0.4, 0.3, 0.3, 0, 0.9, 0.1]
NETS = {"quick": picks([0, 1, 2]), "slow": picks([3, 4, 5])}


def rows(*values):
    return np.array(values, np.float32)


def test_sure_rows_stop_early_and_the_others_go_on(tmp_path):
    policy = load_policy(saved(tmp_path, two_stages(threshold=0.5), **NETS))
    answers = policy(rows(SURE, TORN))
    assert answers.argmax(axis=1).tolist() == [0, 1]
    assert answers[0] == pytest.approx([0.8, 0.1, 0.1], abs=1e-6)
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert policy.trace.stage.tolist() == [0, 1]
    assert policy.trace.network.tolist() == [0, 1]
    assert policy.trace.predicted_ms.tolist() == [1.0, 5.0]
    assert policy.trace.ran.tolist() == [2, 1]
    assert policy.trace.measured_ms is None


def test_deciding_costs_its_time_at_every_stage_that_a_row_reaches(tmp_path):
    priced = replace(two_stages(threshold=0.5), decide_ms=0.25)
    policy = load_policy(saved(tmp_path, priced, **NETS))
    policy(rows(SURE, TORN))
    assert policy.trace.predicted_ms.tolist() == [1.25, 5.5]
    policy(rows(TORN))
    assert policy.trace.predicted_ms.tolist() == [5.5]
    policy.single(rows(TORN))
    assert policy.trace.predicted_ms.tolist() == [4.0]
    log_p = [np.log(np.maximum(rows(SURE, TORN)[:, part], FLOOR)) for part in (slice(0, 3), slice(3, 6))]
    assert replay(priced, log_p).ms.tolist() == [1.25, 5.5]


def test_the_single_network_answers_as_it_stands(tmp_path):
    policy = load_policy(saved(tmp_path, two_stages(), **NETS))
    assert policy.single(rows(SURE))[0] == pytest.approx([0, 0.9, 0.1])
    assert policy.trace.predicted_ms.tolist() == [4.0]


def test_every_row_stops_in_the_last_stage_however_unsure(tmp_path):
    policy = load_policy(saved(tmp_path, two_stages(threshold=1.5), **NETS))
    policy(rows([1, 0, 0, 0.34, 0.33, 0.33]))
    assert policy.trace.stage.tolist() == [1]


@pytest.mark.parametrize(
    ("kind", "threshold", "stage"),
    [
        ("margin", 0.49, 0),
        ("margin", 0.51, 1),
        ("top", 0.69, 0),
        ("top", 0.71, 1),
        ("entropy", 0.26, 0),  # 1 - (0.7 ln 1/0.7 + 0.2 ln 5 + 0.1 ln 10) / ln 3 = 0.270
        ("entropy", 0.28, 1),
    ],
)
def test_each_kind_of_confidence(tmp_path, kind, threshold, stage):
    policy = load_policy(saved(tmp_path, two_stages(threshold, confidence=kind), **NETS))
    policy(rows([0.7, 0.2, 0.1, 0, 1, 0]))
    assert policy.trace.stage.tolist() == [stage]


def test_a_class_has_its_own_threshold(tmp_path):
    policy = load_policy(saved(tmp_path, two_stages(threshold=(0.5, 0.9, 2.0)), **NETS))
    policy(rows(SURE, [0.1, 0.8, 0.1, 0, 0, 1], [0, 0, 1, 1, 0, 0]))
    assert policy.trace.stage.tolist() == [0, 1, 1]


def three_stages(**second):
    first, _ = two_stages(threshold=0.99).stages
    middle = Stage(1, (0.0, 1.0), threshold=0.1, **second)
    return replace(
        two_stages(),
        networks=(network("quick", 1.0), network("middle", 2.0), network("slow", 4.0)),
        stages=(first, middle, Stage(2, (0.0, 0.0, 1.0))),
        single=2,
        expected={},
    )


def test_agreement_is_asked_of_the_two_stages_alone(tmp_path):
    nets = {"quick": NETS["quick"], "middle": picks([3, 4, 5]), "slow": picks([0, 1, 2])}
    policy = load_policy(saved(tmp_path, three_stages(agree=True), **nets))
    policy(rows([0.6, 0.4, 0, 0.9, 0.1, 0], [0.6, 0.4, 0, 0.1, 0.9, 0]))
    assert policy.trace.stage.tolist() == [1, 2]
    assert policy.trace.predicted_ms.tolist() == [3.0, 7.0]


def test_stages_so_far_are_combined_by_their_weights(tmp_path):
    weighted = replace(two_stages(), stages=(two_stages().stages[0], Stage(1, (2.0, 0.5))))
    policy = load_policy(saved(tmp_path, weighted, **NETS))
    quick, slow = np.array([0.4, 0.3, 0.3]), np.array([FLOOR, 0.9, 0.1])
    product = quick**2 * (slow / slow.sum()) ** 0.5
    assert policy(rows(TORN))[0] == pytest.approx(product / product.sum(), rel=1e-4)


def test_a_network_of_logits_gives_logits(tmp_path):
    both = two_stages(threshold=0.9)
    logits = replace(both, networks=tuple(replace(one, form="logits") for one in both.networks))
    policy = load_policy(saved(tmp_path, logits, **NETS))
    x = rows([9, 1, 0, 0, 0, 0], [0, 0, 0, 1, 2, 3])
    assert np.allclose(policy(x), log_softmax(np.stack([x[0, :3], x[1, 3:]])), atol=1e-5)
    assert policy.trace.stage.tolist() == [0, 1]


def test_a_detector_answers_some_classes_and_wakes_the_rest(tmp_path):
    detector = replace(two_stages(), kind="hierarchical", classes=3)
    stages = (Stage(0, (1.0,), threshold=0.2, answers=(2, None)), Stage(1, (0.7, 1.0)))
    nets = {"quick": picks([0, 1]), "slow": picks([3, 4, 5])}
    policy = load_policy(saved(tmp_path, replace(detector, stages=stages), **nets))
    answers = policy(rows([0.9, 0.1, 0, 0.6, 0.4, 0], [0.1, 0.9, 0, 0.6, 0.4, 0]))
    assert policy.trace.stage.tolist() == [0, 1]
    assert answers.argmax(axis=1).tolist() == [2, 0]
    assert answers[0, 2] == pytest.approx(0.9, abs=1e-3)
    assert answers[1] == pytest.approx([0.6, 0.4, FLOOR], abs=2e-3)


def test_rows_that_a_stage_answers_with_nan_go_to_the_single_network(tmp_path):
    doubling = dense(
        2 * np.eye(3, 6), np.zeros(3)
    )  # 3e38 becomes infinity, which the slow network does not look at
    policy = load_policy(saved(tmp_path, two_stages(), quick=doubling, slow=NETS["slow"]))
    answers = policy(rows(SURE, [3e38, 0, 0, 0, 0.9, 0.1], TORN))
    assert policy.trace.untrusted.tolist() == [False, True, False]
    assert policy.trace.stage.tolist() == [0, -1, 1]
    assert answers[1] == pytest.approx([0, 0.9, 0.1])
    assert policy.trace.predicted_ms.tolist() == [1, 5, 5]


@pytest.mark.parametrize("at", [0, 1, 2000])
def test_where_the_single_network_gives_nan_too_the_row_and_the_file_are_named(tmp_path, at):
    policy = load_policy(saved(tmp_path, replace(two_stages(), expected={}), **NETS))
    x = np.repeat(rows(SURE), 2001, axis=0)
    x[at] = np.inf, -np.inf, 0, 0, np.nan, 0
    with pytest.raises(EdgetimeError, match=rf"slow\.tflite answers row {at} with NaN"):
        policy(x)
    with pytest.raises(EdgetimeError, match=rf"slow\.tflite answers row {at} with NaN"):
        policy(x[at:] if at == 0 else x)


def test_more_rows_than_a_block_holds_are_answered_alike(tmp_path):
    policy = load_policy(saved(tmp_path, replace(two_stages(), expected={}), **NETS))
    x = np.random.default_rng(0).dirichlet([1, 1, 1], (2500, 2)).reshape(2500, 6)
    whole = policy(x)
    stage = policy.trace.stage
    assert len(stage) == 2500
    for row in (0, 1023, 1024, 2499):
        assert policy(x[row : row + 1])[0] == pytest.approx(whole[row], abs=1e-5)
        assert policy.trace.stage.tolist() == [stage[row]]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["margin", "top", "entropy"]),
    st.floats(0, 1.1),
    st.floats(-1, 2),
)
def test_answers_are_what_the_stages_docstring_says(tmp_path_factory, seed, kind, threshold, weight):
    """Against the plain sentence: one row at a time, in double precision."""
    x = np.random.default_rng(seed).dirichlet([0.5] * 3, (20, 2)).reshape(20, 6).astype(np.float32)
    plan = replace(two_stages(threshold, confidence=kind), expected={})
    plan = replace(plan, stages=(plan.stages[0], Stage(1, (weight, 1.0))))
    policy = load_policy(saved(tmp_path_factory.mktemp("p"), plan, **NETS))
    answers = policy(x)
    for row, answer, stage in zip(x.astype(float), answers, policy.trace.stage, strict=True):
        quick, slow = (np.log(np.maximum(part, FLOOR)) for part in (row[:3], row[3:]))
        quick, slow = (part - np.log(np.exp(part).sum()) for part in (quick, slow))
        sure = confidence(quick[None], kind)[0]
        if abs(sure - threshold) > 1e-5:
            assert stage == (0 if sure >= threshold else 1)
        total = quick if stage == 0 else weight * quick + slow
        assert answer == pytest.approx(np.exp(total - np.log(np.exp(total).sum())), abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["margin", "top", "entropy"]),
    st.floats(0, 1.1) | st.tuples(*[st.floats(0, 1.1)] * 3),
    st.floats(-1, 2),
    st.sampled_from(["probabilities", "logits"]),
    st.booleans(),
)
def test_one_row_at_a_time_is_answered_as_many_are(
    tmp_path_factory, seed, kind, threshold, weight, form, agree
):
    x = np.random.default_rng(seed).dirichlet([0.5] * 3, (12, 2)).reshape(12, 6)
    plan = three_stages(agree=agree)
    first = replace(plan.stages[0], threshold=threshold, confidence=kind, weights=(1.5,))
    middle = replace(plan.stages[1], weights=(weight, 1.0))
    networks = tuple(replace(one, form=form) for one in plan.networks)
    plan = replace(plan, networks=networks, stages=(first, middle, Stage(2, (weight, 0.0, 0.5))))
    nets = {"quick": NETS["quick"], "middle": picks([3, 4, 5]), "slow": picks([3, 4, 1])}
    policy = load_policy(saved(tmp_path_factory.mktemp("p"), plan, **nets))
    answers = policy(x)
    trace = policy.trace
    for number in range(len(x)):
        answer = policy(x[number : number + 1])
        if policy.trace.stage[0] != trace.stage[number]:
            continue  # as sure as the threshold but for rounding: see below that this is rare
        assert answer[0] == pytest.approx(answers[number], abs=1e-4)
        assert policy.trace.predicted_ms[0] == trace.predicted_ms[number]
        assert policy.trace.network[0] == trace.network[number]
    alone = [policy(x[number : number + 1]) is not None and policy.trace.stage[0] for number in range(len(x))]
    assert (np.array(alone) != trace.stage).sum() <= 1


def test_one_row_that_a_stage_answers_with_nan_goes_to_the_single_network(tmp_path):
    doubling = dense(2 * np.eye(3, 6), np.zeros(3))
    policy = load_policy(saved(tmp_path, two_stages(), quick=doubling, slow=NETS["slow"]))
    assert policy(rows([3e38, 0, 0, 0, 0.9, 0.1]))[0] == pytest.approx([0, 0.9, 0.1])
    assert policy.trace.untrusted.tolist() == [True]


def test_timed_rows_add_up_to_the_whole(tmp_path):
    policy = load_policy(saved(tmp_path, two_stages(), **NETS))
    policy(rows(SURE, TORN, SURE), timed=True)
    trace = policy.trace
    assert (trace.measured_ms > 0).all()
    assert (trace.network_ms > 0).all()
    assert 0 < trace.around_ms < trace.measured_ms.sum()


def test_rows_answer_alike_however_they_lie_in_memory(tmp_path):
    policy = load_policy(saved(tmp_path, replace(two_stages(), expected={}), **NETS))
    x = np.random.default_rng(0).dirichlet([1, 1, 1], (40, 2)).reshape(40, 6).astype(np.float32)
    whole = policy(x)
    for view, rows_of in (
        (x[::3], slice(None, None, 3)),
        (x[::-1], slice(None, None, -1)),
        (np.asfortranarray(x), slice(None)),
        (np.broadcast_to(x[:1], (5, 6)), [0] * 5),
        (np.repeat(x, 2, axis=1)[:, ::2], slice(None)),
        (np.concatenate([x, x], axis=1)[:, :6][1::4], slice(1, None, 4)),
        (x.astype(">f4")[::2], slice(None, None, 2)),
    ):
        assert np.array_equal(policy(view), whole[rows_of])


def test_rows_that_do_not_fit_are_refused(tmp_path):
    policy = load_policy(saved(tmp_path, two_stages(), **NETS))
    with pytest.raises(DataError, match=r"shape \(5,\), but .*quick\.tflite takes \(6,\)"):
        policy(np.zeros((2, 5)))
    with pytest.raises(DataError, match="no rows"):
        policy(np.zeros((0, 6)))
    with pytest.raises(DataError, match="differ in rows"):
        policy({"a": np.zeros((2, 6)), "b": np.zeros((3, 6))})


@pytest.mark.parametrize("count", [1, 3])
def test_rows_that_are_no_numbers_are_refused_in_a_sentence(tmp_path, count):
    policy = load_policy(saved(tmp_path, two_stages(), **NETS))
    with pytest.raises(DataError, match=r"Rows hold <U1, but .*quick\.tflite takes float32: give numbers"):
        policy(np.full((count, 6), "a"))
    with pytest.raises(DataError, match="Rows hold complex128"):
        policy(np.zeros((count, 6), complex))
    with pytest.raises(DataError, match="Rows differ in length"):
        policy([[1.0, 2.0]] * count + [[3.0]])


@pytest.mark.parametrize("count", [1, 3])
def test_an_integer_input_takes_no_nan_and_without_a_scale_no_fractions(tmp_path, count):
    signal = Signal("x", 0, (1, 2), np.dtype(np.int8), 0.1, 0, 2)
    plain = signal._replace(scale=0.0)
    for one in (signal, plain):
        one.check(np.ones((count, 2), np.float32), Path("net.tflite"))
    with pytest.raises(DataError, match=r"Rows hold NaN, which net\.tflite cannot take"):
        signal.check(np.array([[np.nan, 1.0]] * count), Path("net.tflite"))
    with pytest.raises(DataError, match=r"Rows hold fractions, but net\.tflite takes whole numbers"):
        plain.check(np.array([[0.5, 1.0]] * count), Path("net.tflite"))


def test_threads_take_turns_and_each_has_its_own_trace(tmp_path):
    policy = load_policy(saved(tmp_path, replace(two_stages(), expected={}), **NETS))
    x = np.random.default_rng(0).dirichlet([1, 1, 1], (400, 2)).reshape(400, 6).astype(np.float32)
    whole, stages = policy(x), policy.trace.stage
    wrong = []

    def ask(seed):
        random = np.random.default_rng(seed)
        for _ in range(300):
            begin, count = random.integers(0, 390), random.choice([1, 5])
            answers = policy(x[begin : begin + count])
            same = policy.trace.stage.tolist() == stages[begin : begin + count].tolist()
            if not same or not np.allclose(answers, whole[begin : begin + count], atol=1e-4):
                wrong.append(begin)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert policy.trace.stage is stages


def test_a_kind_that_nobody_runs_is_named(tmp_path):
    path = saved(tmp_path, replace(two_stages(), kind="oracle"), **NETS)
    with pytest.raises(EdgetimeError, match="of kind 'oracle', and this edgetime runs cascade"):
        load_policy(path)


def test_a_file_that_is_no_network_is_named(tmp_path):
    path = saved(tmp_path, two_stages(), quick=NETS["quick"][:200], slow=NETS["slow"])
    with pytest.raises(EdgetimeError, match=r"quick\.tflite does not load"):
        load_policy(path)


def test_a_network_of_other_classes_is_refused_when_it_is_loaded(tmp_path):
    path = saved(tmp_path, two_stages(), quick=NETS["quick"], slow=picks([3, 4]))
    with pytest.raises(EdgetimeError, match=r"slow\.tflite answers 2 classes, not 3"):
        load_policy(path)


def test_confidence_of_many_classes_is_that_of_few(tmp_path):
    p = np.random.default_rng(0).dirichlet(np.full(50, 0.1), 40).astype(np.float32)
    p[0] = 0
    p[0, [3, 7]] = 0.5  # as sure of one as of the other
    log_p = log_probabilities(p, "probabilities")
    two = np.sort(np.exp(log_p), axis=1)[:, -2:]
    assert np.allclose(confidence(log_p, "margin"), two[:, 1] - two[:, 0], atol=1e-6)
    assert np.array_equal(confidence(log_p[:, :20], "margin")[1:2], confidence(log_p[1:2, :20], "margin"))
    assert confidence(log_p, "margin")[0] == 0


def segments(threshold):
    """A network with one early exit, its segments in two files: the second takes what the first computes besides."""
    head = dense(np.eye(3, 6), np.zeros(3), names=("x", "features"))
    tail = dense(np.eye(3)[::-1], np.zeros(3), names=("features", "y"))
    plan = Specification(
        "early_exit",
        "board",
        (
            PolicyNetwork("", "head", 1.0, answer="features"),
            PolicyNetwork("", "tail", 2.0, feeds=("features",)),
        ),
        (Stage(0, (1.0,), threshold=threshold), Stage(1, (0.0, 1.0))),
        classes=3,
        single=1,
    )
    return plan, {"head": head, "tail": tail}


def test_segments_take_what_the_segment_before_computed(tmp_path):
    plan, contents = segments(0.5)
    policy = load_policy(saved(tmp_path, plan, **contents))
    answers = policy(rows(TORN, SURE, [0.3, 0.4, 0.3, 0, 0, 0]))
    assert policy.trace.stage.tolist() == [1, 0, 1]
    assert answers[0] == pytest.approx([0.3, 0.3, 0.4], abs=1e-6)
    assert answers[2] == pytest.approx([0.3, 0.4, 0.3], abs=1e-6)
    assert policy.trace.predicted_ms.tolist() == [3.0, 1.0, 3.0]


def test_the_single_network_of_segments_is_all_of_them(tmp_path):
    plan, contents = segments(0.5)
    policy = load_policy(saved(tmp_path, plan, **contents))
    assert policy.single(rows(SURE))[0] == pytest.approx([0.1, 0.1, 0.8])
    assert policy.trace.predicted_ms.tolist() == [3.0]


def test_a_segment_without_what_feeds_it_is_refused(tmp_path):
    plan, contents = segments(0.5)
    contents["head"] = dense(np.eye(3, 6), np.zeros(3), names=("x", "others"))
    plan = replace(plan, networks=(replace(plan.networks[0], answer=""), plan.networks[1]))
    with pytest.raises(EdgetimeError, match="no output 'features'"):
        load_policy(saved(tmp_path, plan, **contents))(rows(TORN))


def test_a_batch_of_several_rows_answer_as_single_rows_do(tmp_path):
    def of_batch(batch):
        layer = Layer(
            "fully_connected",
            (Tensor((batch, 6)), Tensor((3, 6), constant=True), Tensor((3,), constant=True)),
            (Tensor((batch, 3)),),
            {"activation": "none"},
        )
        plan = ModelPlan(
            tensors=[
                TensorPlan("x", (batch, 6), "float32"),
                TensorPlan("weights", (3, 6), "float32", np.eye(3, 6, 3, dtype=np.float32)),
                TensorPlan("bias", (3,), "float32", np.zeros(3, np.float32)),
                TensorPlan("y", (batch, 3), "float32"),
            ],
            operators=[OperatorPlan(layer, [0, 1, 2], [3])],
            inputs=[0],
            outputs=[3],
        )
        return encode(plan)

    x = np.random.default_rng(0).dirichlet([1, 1, 1], (11, 2)).reshape(11, 6).astype(np.float32)
    for batch in (1, 4):
        path = saved(tmp_path / str(batch), two_stages(0.4), quick=NETS["quick"], slow=of_batch(batch))
        policy = load_policy(path)
        stages = policy(x), policy.trace.stage.tolist()
        if batch == 1:
            expected = stages
        assert np.allclose(stages[0], expected[0], atol=1e-6)
        assert stages[1] == expected[1]
        assert np.allclose(policy.single(x, timed=True), x[:, 3:], atol=1e-6)
        assert (policy.trace.measured_ms > 0).all()
