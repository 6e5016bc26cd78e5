from pathlib import Path

import pytest

from edgetime.demo.stages import Stages


class Work:
    """Counts how often each stage really runs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.done: list[str] = []

    def run(self, first_settings: dict, second_settings: dict | None = None) -> list[str]:
        self.done = []
        stages = Stages(self.folder)
        stages.run("first", first_settings, ["first.txt"], lambda: self._write("first"))
        stages.run("second", second_settings or {}, ["second.txt"], lambda: self._write("second"))
        return self.done

    def _write(self, name: str) -> None:
        self.done.append(name)
        (self.folder / f"{name}.txt").write_text(name)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "out")


def test_finished_stages_are_skipped(work: Work):
    assert work.run({"a": 1}) == ["first", "second"]
    assert work.run({"a": 1}) == []


def test_a_changed_setting_runs_its_stage_and_all_after_it(work: Work):
    work.run({"a": 1})
    assert work.run({"a": 1}, {"b": 2}) == ["second"]
    assert work.run({"a": 2}, {"b": 2}) == ["first", "second"]


def test_a_missing_or_changed_output_runs_its_stage_and_all_after_it(work: Work):
    work.run({})
    (work.folder / "second.txt").unlink()
    assert work.run({}) == ["second"]
    (work.folder / "first.txt").write_text("touched by somebody")
    assert work.run({}) == ["first", "second"]


def test_a_stage_that_failed_is_not_finished(tmp_path: Path):
    def fail() -> None:
        (tmp_path / "out.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path).run("only", {}, ["out.txt"], fail)
    ran = []
    assert Stages(tmp_path).run("only", {}, ["out.txt"], lambda: ran.append(1))
    assert ran == [1]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"first": 3}', "\x00"])
def test_a_damaged_record_means_doing_everything_again(work: Work, damage: str):
    work.run({})
    (work.folder / "stages.json").write_text(damage)
    assert work.run({}) == ["first", "second"]


def test_unfinished_work_is_gone_on_with_only_under_the_same_settings(tmp_path: Path):
    def begin(settings: dict) -> None:
        def work() -> None:
            (tmp_path / "scratch").mkdir(exist_ok=True)
            (tmp_path / "scratch" / "half.txt").touch()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Stages(tmp_path).run("only", settings, ["out.txt"], work, scratch=["scratch"])

    def half_is_there(settings: dict) -> bool:
        seen = []

        def work() -> None:
            seen.append((tmp_path / "scratch" / "half.txt").exists())
            (tmp_path / "out.txt").touch()

        assert Stages(tmp_path).run("only", settings, ["out.txt"], work, scratch=["scratch"])
        return seen[0]

    begin({"a": 1})
    assert half_is_there({"a": 1})
    begin({"a": 2})
    assert not half_is_there({"a": 3})


def test_an_output_may_be_a_pattern_where_the_outcome_decides_its_name(tmp_path: Path):
    def once(name: str) -> bool:
        return Stages(tmp_path).run("only", {}, ["c*.txt"], lambda: (tmp_path / name).write_text("x"))

    assert once("closest.txt")
    assert not once("closest.txt")
    (tmp_path / "closest.txt").unlink()
    assert once("compressed.txt")
