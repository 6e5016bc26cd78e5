"""Values from files: what is odd is refused where it stands, and nothing else than ValueError is raised."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler import values
from profiler.values import OddValueError, parse_json, read_json, typed


class Line(TypedDict):
    name: str
    ms: float | None


@dataclass(frozen=True)
class Part:
    width: int
    kind: str = "plain"
    scores: tuple[float, ...] = field(default_factory=tuple)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1e999]", "without bounds"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[18446744073709551616]", "64 bits"),
        ('["\\ud800"]', "half of a character"),
        ('{"\\udfff": 1}', "half of a character"),
        ("[" * 65 + "]" * 65, "too deeply"),
        ("[" * 100_000 + "]" * 100_000, "too deeply"),
    ],
)
def test_json_beyond_bounds_is_odd(text: str, reason: str):
    with pytest.raises(OddValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize("text", ["", "{", "[1,]", b"\xff\xfe\x00", "9" * 5000])
def test_what_is_no_json_is_a_value_error(text: Any):
    with pytest.raises(ValueError):
        parse_json(text)


def test_json_within_bounds_is_as_the_library_reads_it(tmp_path):
    value = {
        "ü": [1, -(2**63), 2**63 - 1, 1e308, None, True, "\U0001f600"],
        "deep": json.loads("[" * 60 + "]" * 60),
    }
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert read_json(tmp_path / "a.json") == value


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    monkeypatch.setattr(values, "MOST_BYTES", 8)
    with pytest.raises(ValueError, match="MB"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (True, int, "it is no whole number"),
        (1.5, int, "it is no whole number"),
        ("1", float, "it is no number"),
        (float("inf"), float, "it is no number"),
        (None, str, "it is no text"),
        (1, bool, "it is neither true nor false"),
        ("c", Literal["a", "b"], "it is not one of a, b"),
        ({}, list[int], "it is no list"),
        ([1, "x"], tuple[float, ...], r"it\[1\] is no number"),
        ([1], tuple[int, int], "it is no list of 2"),
        ({"a": {"b": []}}, dict[str, dict[str, int]], "it.a.b is no whole number"),
        ([], int | str, "it is no"),
        ({"name": "a"}, Line, "it lacks ms"),
        ({"name": [], "ms": 1}, Line, "it.name is no text"),
        ({}, Part, "it lacks width"),
        ({"width": 1, "height": 2}, Part, "it holds height, which is not known"),
        ([{"width": "x"}], list[Part], r"it\[0\].width is no whole number"),
    ],
)
def test_an_odd_value_is_named_by_the_way_to_it(value: Any, kind: Any, reason: str):
    with pytest.raises(OddValueError, match=reason):
        typed(value, kind)


def test_what_has_the_right_type_is_kept_or_made():
    assert typed(8.0, int) == 8
    assert typed(None, float | None) is None
    assert typed({"name": "a", "ms": None, "more": []}, Line) == {"name": "a", "ms": None, "more": []}
    found = typed([{"width": 1, "scores": [1, 0.5]}, {"width": 2}], list[Part])
    assert found == [Part(1, scores=(1, 0.5)), Part(2)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(
    _JSON,
    st.sampled_from([int, float, str, list[int], dict[str, Any], tuple[str, int], Line, Part, int | None]),
)
def test_whatever_is_given_nothing_but_an_odd_value_is_raised(value: Any, kind: Any):
    with contextlib.suppress(OddValueError):
        typed(value, kind)
