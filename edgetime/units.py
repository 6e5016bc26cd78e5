"""Numbers and names as people read them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_LEAST_MS = 1e-6
"""A nanosecond: nothing shorter is measured."""

_NUMBER = r"[-+~<>≤±]*[\d.,]+[a-zA-Z%]?( [a-zA-Z]{1,2})?"
_QUANTITY = re.compile(rf"({_NUMBER}(( ±| to) {_NUMBER})?|-)?")


def ms(value: float | None) -> str:
    """A time with three significant digits down to nanoseconds: ``0.0432 ms``, ``1.91 ms``, ``123 ms``, ``4.57 s``."""
    if value is None:
        return "-"
    if abs(value) < _LEAST_MS:
        return f"<{_LEAST_MS:.6f} ms" if value else "0 ms"
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g} s" if abs(value) < 1e6 else f"{value / 1000:.0f} s"
    if abs(value) >= 100:
        return f"{value:.0f} ms"
    # Rounding first, so that 0.09996 gets the digits of 0.1.
    digits = 2 - math.floor(math.log10(float(f"{abs(value):.3g}")))
    return f"{value:.{min(digits, 6)}f} ms"


def mj(value: float | None) -> str:
    """An energy with three significant digits: ``4.32 uJ``, ``1.91 mJ``, ``457 mJ``, ``45.7 J``."""
    if value is None:
        return "-"
    if 0 < abs(value) < 0.01:
        return f"{1000 * value:.3g} uJ"
    return f"{value / 1000:.3g} J" if abs(value) >= 10_000 else f"{value:.3g} mJ"


def size(value: float | None) -> str:
    """A number of bytes: ``812 B``, ``98.5 kB``, ``1.84 MB`` (powers of 1000)."""
    return _scaled(value, (" B", " kB", " MB", " GB"))


def count(value: float | None) -> str:
    """A large number: ``812``, ``98.5k``, ``1.84M``, ``4.1G``."""
    return _scaled(value, ("", "k", "M", "G"))


def _scaled(value: float | None, suffixes: tuple[str, ...]) -> str:
    """`value` in the first of the suffixes, each 1000 times the one before, that leaves it below 1000."""
    if value is None:
        return "-"
    power = 0
    while abs(value) >= 1000 and power < len(suffixes) - 1:
        value /= 1000
        power += 1
    return f"{value:.3g}{suffixes[power]}" if power else f"{value:.0f}{suffixes[0]}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A share: ``99.7%``."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f}%"


def score(value: float, name: str) -> str:
    """A score by its name: accuracy as ``99.72%``, another such as ``0.1234``."""
    return percent(value, 2) if name == "accuracy" else f"{value:.4g}"


def points(value: float) -> str:
    """A change of accuracy in hundredths: ``-0.12 points``; never ``-0.00``."""
    return f"{round(value, 2) + 0.0:+.2f} points"


def loss(point: Mapping[str, Any], name: str) -> str:
    """What a point of a front loses, with its 95% interval: ``0.31 (-0.20 to 0.85) points``, or in units of a score."""
    lost, ends = point.get("lost"), (point.get("lost_low"), point.get("lost_high"))
    if lost is None:
        return "-"
    scale, form, unit = (100, ".2f", " points") if name == "accuracy" else (1, ".3g", "")
    shown = [f"{scale * end + 0.0:{form}}" for end in (lost, *ends) if end is not None]
    return f"{shown[0]} ({shown[1]} to {shown[2]}){unit}" if len(shown) == 3 else f"{shown[0]}{unit}"


def difference(predicted: float | None, measured: float | None) -> str:
    """How far `predicted` is from `measured`: ``+3.4%``."""
    return "-" if not measured or predicted is None else f"{100 * (predicted / measured - 1):+.1f}%"


def mark(result: Mapping[str, Any]) -> str:
    """What to know of a measured time beside its prediction, of a line of ``predict --json``; empty where nothing is."""
    measured_ms, low_ms, high_ms = (result.get(key) for key in ("measured_ms", "low_ms", "high_ms"))
    if not measured_ms:
        return ""
    marks = []
    if low_ms is not None and high_ms is not None and not low_ms <= measured_ms <= high_ms:
        marks.append("measured outside the 90% interval")
    if result.get("measured_calm_share") == 0:
        marks.append("never calm while measured")
    return ", ".join(marks)


def interval(low: float | None, high: float | None) -> str:
    """``0.0085 to 0.0168 ms``; both units where they differ; without an upper end ``0.0085 ms or more``."""
    if low is None or high is None:
        return "-" if low is None else f"{ms(low)} or more"
    first, last = ms(low), ms(high)
    return f"{first.split()[0] if first.split()[1] == last.split()[1] else first} to {last}"


def is_quantity(text: str) -> bool:
    """Whether `text` reads as a quantity: ``12``, ``+3.4%``, ``1.91 ms``, ``99.5% ± 0.2``, ``1 to 2 ms``, ``-``."""
    return _QUANTITY.fullmatch(text.strip()) is not None


_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    r"""`text` with what a terminal or a page would obey written out, such as ``\x1b`` or ``\u202e``; line ends and tabs stay.

    These are control characters, those that turn the direction of text or are not seen, and halves of characters.
    """
    if text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode("ascii")
        if unicodedata.category(one) in _UNSEEN and one not in "\n\t"
        else one
        for one in text
    )
