"""A time model on one screen: per number type what the device likes, what to avoid, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from timemodel.explain.finding import AVOID, LIKES, Finding
from timemodel.explain.tree_in_words import SCREEN_COLUMNS, SCREEN_ROWS, rows_of
from timemodel.model import FALLBACK, OperatorModel, SettingModel

_FIRST = ("float32", "int8")


def summary(
    model: SettingModel, found: Sequence[Finding], columns: int = SCREEN_COLUMNS, rows: int = SCREEN_ROWS
) -> list[str]:
    """Lines of a screen of `columns` by `rows`; `found` are the findings of the setting, what weighs most first."""
    dtypes = sorted({dtype for op, dtype in model.operators if op != FALLBACK}, key=_order)
    chosen: dict[str, list[Finding]] = {dtype: [] for dtype in dtypes}
    waiting = {dtype: list(_turns([s for s in found if s.dtype == dtype])) for dtype in dtypes}
    lines = _written(model, chosen)
    # The number types that most networks are in get two lines for each of another one.
    turns = [dtype for dtype in dtypes for _ in range(2 if dtype in _FIRST else 1)]
    while any(waiting.values()):
        for dtype in turns:
            if not waiting[dtype]:
                continue
            chosen[dtype].append(waiting[dtype].pop(0))
            longer = _written(model, chosen)
            if rows_of(longer, columns) <= rows:
                lines = longer
            else:
                # A shorter one may still fit.
                chosen[dtype].pop()
    return lines


def how_sure(models: Sequence[OperatorModel]) -> str:
    """``34 operators, 3,012 layers; typically 2.9% off, 90% within 11%``: on layers that the model had not seen."""
    layers = sum(model.error.probes for model in models)
    middle = sum(model.error.median_error * model.error.probes for model in models) / max(layers, 1)
    most = sum(model.error.p90_error * model.error.probes for model in models) / max(layers, 1)
    operators = f"{len(models)} operator{'s' if len(models) != 1 else ''}"
    return f"{operators}, {layers:,} layers; typically {middle:.1%} off, 90% within {most:.0%}"


def _written(model: SettingModel, chosen: dict[str, list[Finding]]) -> list[str]:
    lines = []
    for dtype, found in chosen.items():
        known = [row for (op, kind), row in model.operators.items() if kind == dtype and op != FALLBACK]
        lines.append(f"{dtype}: {how_sure(known)}")
        for kind in (LIKES, AVOID):
            lines += [f"  {kind} {finding.short}" for finding in found if finding.kind == kind]
        if not found:
            lines.append("  nothing stands out by more than the model's error")
    return lines


def _turns(found: Sequence[Finding]) -> Iterator[Finding]:
    """What is liked and what to avoid in turns; of each operator and kind the weightiest first, then the others."""
    seen: set[tuple[str, str]] = set()
    first: list[Finding] = []
    later: list[Finding] = []
    for finding in found:
        key = (finding.kind, finding.op)
        (later if key in seen else first).append(finding)
        seen.add(key)
    for group in (first, later):
        sides = ([one for one in group if one.kind == kind] for kind in (LIKES, AVOID))
        for turn in zip_longest(*sides):
            yield from (finding for finding in turn if finding is not None)


def _order(dtype: str) -> tuple[int, str]:
    return (_FIRST.index(dtype) if dtype in _FIRST else len(_FIRST), dtype)
