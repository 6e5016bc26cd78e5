"""What a compression spent its time on."""

from compressor.pipeline.prepare import effort_of
from compressor.search import Effort, rows_of_helpers

FINISHED = {
    "8-8_seed0": {"seconds": 10.0, "steps": 300, "score": 0.9},
    "4-4_seed0": {"seconds": 5.0, "steps": 200},
}


def test_one_line_says_where_the_time_went(tmp_path):
    effort = Effort(tmp_path / "effort.jsonl")
    effort.add("looking", 2.0, blocks=6)
    effort.add("ranking", 1.5, candidates=30)
    effort.add("ranking", 0.5, candidates=1)
    for key in ("a", "b"):
        effort.add("fine-tuning", 4.0, candidate=key, steps=150)
    effort.add("searching", 48.2)
    effort.add("training", 110.4)
    found = effort_of(effort.rows, FINISHED, 180.0, structures=4)
    assert found["summary"] == (
        "searching 48 s of 180 s: 4 structures, 31 candidates ranked, 2 fine-tuned (300 steps); "
        "training 110 s: 2 finalists, 500 steps"
    )
    assert found["phases"]["looking"] == {"seconds": 2.0, "steps": 0, "count": 6}
    assert [row["steps"] for row in found["candidates"]] == [150, 150, 300, 200]


def test_what_was_spent_before_an_interruption_counts(tmp_path):
    Effort(tmp_path / "effort.jsonl").add("ranking", 1.0, candidates=2)
    again = Effort(tmp_path / "effort.jsonl")
    with again.during("ranking") as row:
        row["candidates"] = 3
    assert [row["candidates"] for row in Effort(tmp_path / "effort.jsonl").rows] == [2, 3]


def test_parts_and_seeds_of_one_candidate_are_one_finalist():
    names = ("8-8_seed0_part1of2", "8-8_seed0", "8-8_seed1", "4-4_seed0_part1of2")
    finished = {name: {"seconds": 1.0, "steps": 5} for name in names}
    found = effort_of([], finished)
    assert found["phases"]["finalists"] == {"seconds": 4.0, "steps": 20, "count": 2}


def test_each_process_that_helps_writes_to_a_file_of_its_own(tmp_path):
    for steps in (3, 4):
        Effort.of_helper(tmp_path).add("fine-tuning", 1.0, candidate="a", steps=steps)
    assert not (tmp_path / "effort.jsonl").exists()
    assert sorted(row["steps"] for row in rows_of_helpers(tmp_path)) == [3, 4]
    assert rows_of_helpers(tmp_path / "missing") == []


def test_who_may_not_write_to_the_folder_helps_all_the_same(tmp_path):
    (tmp_path / "effort").write_text("in the way")
    effort = Effort.of_helper(tmp_path)
    effort.add("fine-tuning", 1.0)
    assert len(effort.rows) == 1
