"""Rows, labels, groups and metrics by which little or nothing can be judged: each is said in a sentence."""

from dataclasses import replace

import numpy as np
import pytest

from compressor.data import Data, load_data
from compressor.pipeline.prepare.doubts import check_labels, check_metric, grouping_notes, label_notes, unseen
from compressor.training import Task
from profiler.errors import DataError, UsageError

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = np.arange(40) % 2
DATA = Data(X, Y, source="d.npz")


def test_labels_of_a_single_class_are_refused():
    with pytest.raises(
        DataError, match=r"d\.npz: all labels in y are class 3, so that nothing can be lost or learned"
    ):
        check_labels(Task("softmax", replace(DATA, y=np.full(40, 3))))
    check_labels(Task("softmax", DATA))
    notes = label_notes(Task("softmax", replace(DATA, x_val=X, y_val=np.ones(40, int))))
    assert notes == ["d.npz: y_val has class 1 alone: what is lost on the others is not seen."]


def by_metric(metric, outputs=None):
    found = np.eye(2)[Y] if outputs is None else outputs
    y = Y if outputs is None else dict.fromkeys(outputs, Y)
    return check_metric(Task("softmax", replace(DATA, y=y, metric=metric)), X, y, found)


def test_a_metric_that_is_the_same_whatever_is_answered_is_refused():
    with pytest.raises(
        DataError, match=r"metric gives 0\.5 whatever the network answers, so that no loss could be seen"
    ):
        by_metric(lambda model, rows: 0.5)
    with pytest.raises(DataError, match="whatever the network answers"):
        by_metric(lambda model, rows: float(len(model.predict(rows[0]))))
    assert by_metric(lambda model, rows: float(np.mean(model.predict(rows[0]).argmax(-1) == rows[1]))) == []


def test_a_metric_of_a_sorted_file_is_asked_on_rows_of_all_of_it():
    y = np.repeat([0, 1], 1000)

    def recall(model, rows):
        answers = model.predict(rows[0]).argmax(-1)
        return float(np.mean(answers[rows[1] == 1] == 1)) if (rows[1] == 1).any() else 0.0

    x, outputs = np.arange(2000)[:, None], np.eye(2)[y]
    assert check_metric(Task("softmax", replace(DATA, metric=recall)), x, y, outputs) == []


def test_a_metric_that_refuses_a_few_rows_is_not_judged():
    def refusing(model, rows):
        raise ValueError("only one class")

    assert by_metric(refusing) == []


def test_an_output_that_the_metric_ignores_is_named():
    outputs = {"kind": np.eye(2)[Y], "place": X}

    def metric(model, rows):
        return float(np.mean(model.predict(rows[0])["kind"].argmax(-1) == rows[1]["kind"]))

    assert by_metric(metric, outputs) == [
        "d.npz: metric does not look at the output place: nothing is known of what is lost there."
    ]


@pytest.mark.parametrize(("shared", "fresh"), [(0, True), (5, True), (30, False), (40, False)])
def test_rows_that_stand_among_the_training_rows_are_found_by_content(shared, fresh):
    others = np.concatenate([X[:shared], X[shared:] + 1])
    found, notes = unseen(replace(DATA, x_val=others, y_val=Y), "val")
    assert found == fresh
    assert len(notes) == (shared > 0)
    if shared:
        some = "All 40" if shared == 40 else f"{shared} of the 40"
        assert notes[0].startswith(f"{some} validation rows have the content of training rows")
    assert unseen(DATA, "test") == (False, [])


def test_rows_that_chose_are_no_test():
    found, [note] = unseen(replace(DATA, x_val=X + 1, y_val=Y, x_test=X + 1, y_test=Y), "test")
    assert not found
    assert note.startswith(
        "All 40 test rows have the content of validation rows, which choose the network: they say nothing"
    )
    mixed = np.concatenate([X[:10], X[10:] + 1])
    found, [note] = unseen(replace(DATA, x_val=X + 1, y_val=Y, x_test=mixed, y_test=Y), "test")
    assert not found
    assert "content of training or validation rows" in note
    assert unseen(replace(DATA, x_val=X + 1, y_val=Y, x_test=X + 2, y_test=Y), "test") == (True, [])


def save(tmp_path, **arrays):
    np.savez(tmp_path / "d.npz", x=X, y=Y, **arrays)
    return tmp_path / "d.npz"


def test_an_array_that_looks_like_groups_is_asked_for(tmp_path):
    speaker = np.repeat(["anna", "ben", "cleo", "dora"], 10)
    path = save(
        tmp_path, number=np.arange(40), speaker=speaker, noise=X[:, 0], label_names=np.array(["a", "b"])[Y]
    )
    data = load_data(path)
    assert data.maybe_groups == "speaker"
    [note] = grouping_notes(data)
    assert (
        "has an array speaker and no groups: if rows of one speaker belong together, give --groups speaker"
        in note
    )
    named = load_data(path, "speaker")
    assert named.groups.tolist() == speaker.tolist()
    assert not grouping_notes(named)
    with pytest.raises(UsageError, match=r"has no array 'who' for --groups \(it has .*speaker"):
        load_data(path, "who")


def test_groups_of_one_row_and_a_single_group_and_missing_ones_are_said():
    ones = grouping_notes(replace(DATA, groups=np.arange(40)))
    assert ones == ["d.npz: groups gives every row of x a group of its own: rows count as independent."]
    held = {"groups": Y, "x_val": X, "y_val": Y}
    [single] = grouping_notes(replace(DATA, **held, groups_val=np.full(40, 7)))
    assert "groups_val names a single group (7)" in single
    [missing] = grouping_notes(replace(DATA, **held))
    assert "has groups for x and none for x_val (groups_val)" in missing


def test_a_data_file_in_python_may_say_what_belongs_together(tmp_path):
    path = tmp_path / "d.py"
    path.write_text(
        "import numpy as np\npatient = np.arange(20) // 4\n"
        "def load():\n    x = np.ones((20, 2), 'float32')\n    return (x, np.arange(20) % 2), None\n"
    )
    assert load_data(path).maybe_groups == "patient"
    assert load_data(path, "patient").groups.tolist() == (np.arange(20) // 4).tolist()
