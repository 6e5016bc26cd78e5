"""What a reader of a result's figures should notice."""

from __future__ import annotations

from compressor.pipeline.final import Finalist
from compressor.pipeline.prepare import in_words
from compressor.pipeline.result.compression_result import CompressionResult
from compressor.search import Goal


def reader_warnings(
    result: CompressionResult, goal: Goal, chosen: Finalist, original_score: float
) -> list[str]:
    """Sentences on where the figures miss what was asked, or are less sure than they look."""
    found = []
    drop = result.max_accuracy_drop
    if drop is not None and chosen.met and not chosen.sure:
        found.append(
            f"The accuracy is kept on the validation rows, but on so few that it may be luck: {_points(chosen, original_score)} "
            f"lost, give or take {100 * chosen.error:.2f}; more validation rows would tell."
        )
    if drop is not None and result.drop_points > drop:
        found.append(
            f"On the test rows {result.drop_points:.2f} points were lost, more than the {drop:g} that were allowed "
            "on validation rows."
        )
    found += _over(result, goal)
    found += _by_quantising(result, goal, chosen)
    if result.speedup_measured is not None and result.speedup_measured < 1:
        found.append("It was measured to be slower than the original.")
    beaten = [point for point in result.points if point.chosen and not point.on_front]
    if beaten and len(result.points) > 1:
        found.append(
            "Another point is as fast and as good on the validation rows: look at points in result.json."
        )
    return found


def _points(chosen: Finalist, original_score: float) -> str:
    return f"{100 * (original_score - chosen.mean_score) + 0.0:.2f} points"


def _over(result: CompressionResult, goal: Goal) -> list[str]:
    """Limits that the file on the device passes, though the prediction did not."""
    after = result.after
    found = []
    if goal.budget_ms is not None and after.measured_ms is not None and after.measured_ms > goal.budget_ms:
        found.append(
            f"It was measured at {after.measured_ms:.4g} ms, above the budget of {goal.budget_ms:g} ms."
        )
    for name, value in (
        ("size", after.file_bytes), ("memory", after.peak_memory_bytes), ("energy", after.energy_mj),
    ):  # fmt: skip
        limit = goal.limits.get(name)
        if limit is not None and value is not None and value > limit:
            found.append(
                f"The file takes {in_words(name, value)}, above the limit of {in_words(name, limit)}."
            )
    return found


def _by_quantising(result: CompressionResult, goal: Goal, chosen: Finalist) -> list[str]:
    """Where the quantised file no longer keeps the score that the network kept."""
    least = goal.least_score
    winner = next((point for point in result.points if point.chosen), None)
    if least is None or winner is None or result.quantize == "none":
        return []
    if chosen.mean_score < least or winner.validation_score >= least:
        return []
    lost = 100 * (chosen.mean_score - winner.validation_score)
    return [
        f"As {result.quantize} it loses another {lost:.2f} points on the validation rows, and so keeps the limit no more."
    ]
