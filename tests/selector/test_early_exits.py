"""Early exits as a policy: which exits stay, what is promised, and that the board does what was fitted."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from compressor import Data, Schedule
from compressor.testing.device import FormulaTimeModel
from compressor.testing.keras_task import bars, bars_network
from compressor.training import FineTuner, task_of
from profiler.errors import ModelFileError
from profiler.tflite import only_signature, read_network, read_signatures
from selector.candidates import Answers, gather_segments, heads_ms
from selector.early_exits import add_early_exits, fit_exits, with_exits
from selector.policies import PolicyGoal
from selector.runtime import PolicyNetwork, load_policy

DEVICE = FormulaTimeModel()


def answers(*right_shares: float, times: tuple[float, ...], rows: int = 1200) -> Answers:
    """Exits that are surely right on the first share of the rows, and guess between two of three classes on the others."""
    y = np.arange(rows) % 3
    log_p = np.empty((len(right_shares), rows, 3), np.float32)
    for number, share in enumerate(right_shares):
        sure = np.arange(rows) < share * rows
        p = np.full((rows, 3), 0.1)
        p[np.arange(rows), (y + (np.arange(rows) // 3 + number) % 2) % 3] = 0.46
        p[np.arange(rows), (y + 1 - (np.arange(rows) // 3 + number) % 2) % 3] = 0.44
        p[sure] = 0.01
        p[sure, y[sure]] = 0.98
        log_p[number] = np.log(p)
    networks = tuple(
        PolicyNetwork("exits.tflite", f"exit {place + 1}", ms, signature=f"segment_{place + 1}")
        for place, ms in enumerate(times)
    )
    return Answers(networks, (Path("exits.tflite"),) * len(times), log_p, y)


def test_sure_rows_stop_and_pay_only_for_the_segments_that_they_ran():
    fit = fit_exits(answers(0.6, 1.0, times=(1.0, 3.0)), PolicyGoal(max_accuracy_drop=0.5), single_ms=3.8)
    assert fit.specification.kind == "early_exit"
    assert fit.chosen.accuracy == pytest.approx(1.0)
    assert fit.chosen.stop_shares == pytest.approx((0.6, 0.4), abs=0.02)
    assert fit.chosen.mean_ms == pytest.approx(1.0 + 0.4 * 3.0, abs=0.05)
    assert fit.chosen.longest_ms == pytest.approx(4.0)
    # What it is compared with is the network without exits, not its last segment.
    assert fit.specification.expected["single_ms"] == 3.8


def test_accuracy_first_takes_no_longer_than_the_network_without_exits():
    fit = fit_exits(answers(0.6, 0.9, 1.0, times=(1.0, 1.0, 2.0)), PolicyGoal("accuracy"), single_ms=3.7)
    assert fit.chosen.mean_ms <= 3.7
    assert fit.chosen.accuracy == pytest.approx(1.0)


def test_an_exit_that_is_left_out_takes_no_time():
    whole = answers(0.2, 0.6, 1.0, times=(1.0, 2.0, 3.0))
    heads = [0.25, 0.5]
    assert [one.predicted_ms for one in with_exits(whole, heads, (0, 1)).networks] == [1.0, 2.0, 3.0]
    assert [one.predicted_ms for one in with_exits(whole, heads, (1,)).networks] == [2.75, 3.0]
    assert [one.predicted_ms for one in with_exits(whole, heads, (0,)).networks] == [1.0, 4.5]
    assert with_exits(whole, heads, (1,)).networks[0].signature == "segment_2"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The bars network with exits, for rows of which some are hard, and what was made of it."""
    (x, y), (x_val, y_val), (x_test, y_test) = bars(240, 0), bars(240, 1), bars(90, 2)
    data = Data(x=x, y=y, x_val=x_val, y_val=y_val, x_test=x_test, y_test=y_test, source="bars.npz")
    keras.utils.set_random_seed(0)
    model = bars_network()
    FineTuner(task_of(model, data)).fit(
        model, Schedule(epochs=4, batch_size=16, learning_rate=0.01, alpha=0.0)
    )
    found = add_early_exits(
        model, data, DEVICE, tmp_path_factory.mktemp("early"), PolicyGoal(max_accuracy_drop=1),
        count=2, head="pool", heads=Schedule(epochs=4, batch_size=24, learning_rate=0.02), joint=None,
    )  # fmt: skip
    return data, found


def test_the_policy_on_a_board_does_what_was_fitted(made):
    data, found = made
    policy = load_policy(found.policy)
    outputs = policy(data.x_test)
    seen, without = found.on_test
    assert np.mean(outputs.argmax(axis=1) == data.y_test) == pytest.approx(seen.accuracy)
    assert policy.trace.predicted_ms.mean() == pytest.approx(seen.mean_ms)
    assert policy.trace.shares(len(seen.stop_shares)).tolist() == pytest.approx(list(seen.stop_shares))
    assert without.mean_ms == pytest.approx(found.network.single_ms)


def test_exits_that_do_not_pay_are_neither_in_the_file_nor_in_the_policy(made):
    _, found = made
    signatures = read_signatures(found.network.file)
    # What comes after the last exit that anything needs is in the file only.
    named = [one.signature for one in found.fit.specification.networks]
    assert named == list(signatures[: len(named)])
    assert len(signatures) == len(found.network.segments)
    if len(signatures) < 3:
        assert any("was left out again" in note for note in found.notes)


def test_segments_answer_and_take_what_the_file_says(made):
    data, found = made
    file = found.network.file
    rows = gather_segments(DEVICE, file, data.x_test, data.y_test)
    assert rows.networks[0].feeds == ()
    assert all(one.feeds == ("hidden",) for one in rows.networks[1:])
    assert rows.classes == 3
    for one in rows.networks:
        network = read_network(only_signature(file, one.signature))
        assert one.predicted_ms == pytest.approx(DEVICE.predict(network).predicted_ms)


def test_the_head_of_a_segment_is_what_is_not_handed_on(made):
    _, found = made
    file = found.network.file
    (cost, *_) = heads_ms(DEVICE, file, 3)
    network = read_network(only_signature(file, read_signatures(file)[0]))
    head = [layer for layer in network.layers if layer.op in ("mean", "fully_connected", "softmax")]
    assert cost == pytest.approx(DEVICE.predict_layers_ms(head).sum())


def test_a_file_without_segments_is_refused(made):
    data, found = made
    with pytest.raises(ModelFileError, match="is no network with exits"):
        gather_segments(DEVICE, found.network.single, data.x_test, data.y_test)


def test_where_no_exit_pays_there_is_no_policy_and_a_sentence_says_so(tmp_path: Path):
    (x, y), (x_val, y_val) = bars(60, 0), bars(90, 1)
    data = Data(x=x, y=y, x_val=x_val, y_val=y_val)
    keras.utils.set_random_seed(0)
    model = bars_network()
    schedule = Schedule(epochs=8, batch_size=16, learning_rate=0.01, alpha=0.0)
    FineTuner(task_of(model, data)).fit(model, schedule)
    still = Schedule(epochs=1, batch_size=60, learning_rate=1e-9)
    (tmp_path / "policy.json").write_text("of an earlier run, whose network is no more")
    found = add_early_exits(
        model,
        data,
        DEVICE,
        tmp_path,
        PolicyGoal(max_accuracy_drop=0),
        count=1,
        head="pool",
        heads=still,
        joint=None,
    )
    assert found.policy is None
    assert not (tmp_path / "policy.json").exists()
    assert any(note.startswith("No exit pays") for note in found.notes)
