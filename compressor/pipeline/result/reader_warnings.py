"""Sentences on where the figures miss what was asked, or are less sure than they look."""

from __future__ import annotations

from compressor.pipeline.final import Finalist
from compressor.pipeline.prepare import Prepared, least_aside, told_apart
from compressor.pipeline.result.compression_result import CompressionResult
from compressor.pipeline.result.promise import SATURATED
from compressor.search import Goal


def reader_warnings(result: CompressionResult, goal: Goal, chosen: Finalist, prepared: Prepared) -> list[str]:
    """Sentences on where the figures miss what was asked, or are less sure than they look."""
    found = []
    drop, original_score = result.max_accuracy_drop, prepared.original.score
    if prepared.test_given and result.promise is not None:
        found.append(result.promise["sentence"])
    elif (
        drop is not None and prepared.aside is None
    ):  # else rows were there, and no point that gains anything
        found.append(_no_test(prepared, drop))
    if drop is not None and result.score_name == "accuracy" and original_score >= SATURATED:
        found.append(
            f"The original is right on {original_score:.1%} of the validation rows: where hardly any is hard, that none is "
            "lost says little."
        )
    if drop is not None and chosen.met and not chosen.sure:
        points = 100 * (original_score - chosen.mean_score) + 0.0
        found.append(
            f"The accuracy is kept on the validation rows, but on so few that it may be luck: {points:.2f} points "
            f"lost, give or take {100 * chosen.error:.2f}; more validation rows would tell."
        )
    if drop is not None and prepared.test_given and result.drop_points > drop:
        found.append(
            f"On the test rows {result.drop_points:.2f} points were lost, more than the {drop:g} that were allowed "
            "on validation rows."
        )
    measured_ms = result.after.measured_ms
    if goal.budget_ms is not None and measured_ms is not None and measured_ms > goal.budget_ms:
        found.append(f"It was measured at {measured_ms:.4g} ms, above the budget of {goal.budget_ms:g} ms.")
    if result.met and result.speedup_measured is not None and result.speedup_measured < 1:
        found.append("It was measured to be slower than the original.")
    beaten = [point for point in result.points if point.chosen and not point.on_front]
    if beaten and len(result.points) > 1:
        found.append(
            "Another point is as fast and as good on the validation rows: look at points in result.json."
        )
    return found


def _no_test(prepared: Prepared, drop: float) -> str:
    """Why nothing is shown of new data, and what would do."""
    groups = told_apart(prepared.task.data.groups_val) is not None
    unit = "groups" if groups else "rows"
    enough = (
        f", or {2 * least_aside(prepared.task, drop / 100, groups):,} validation {unit}"
        if 0 < drop < 50
        else ""
    )
    return (
        "No test was made of what is lost on new data: no rows were given that the original never saw and that chose "
        f"nothing; give x_test and y_test{enough}."
    )
