"""Which network would have been the best for each row, and which networks are worth choosing from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RULES = ("accuracy", "optimal")
"""The next network is the one that is right, or the cheapest that is right, most often where the chosen ones are all wrong."""


def cheapest_right(right: NDArray[np.bool_], networks: Sequence[int] | None = None) -> NDArray[np.int64]:
    """Label of each row [rows]: position in `networks` of the fastest one that is right, their number where none is ("failed").

    Parameters
    ----------
    right
        Whether each network is right [networks, rows], fastest network first.
    networks
        Those to choose from, in any order; None for all.

    Examples
    --------
    >>> cheapest_right(np.array([[True, False, False], [True, True, False]])).tolist()
    [0, 1, 2]
    """
    chosen = list(range(len(right)) if networks is None else networks)
    labels = np.full(right.shape[1], len(chosen), np.int64)
    for position in sorted(range(len(chosen)), key=lambda place: -chosen[place]):
        labels[right[chosen[position]]] = position
    return labels


def included_networks(right: NDArray[np.bool_], theta: float = 0.005, rule: str = "accuracy") -> list[int]:
    """Networks of a premodel, in the order of its levels.

    The first is the one that is most often the fastest right one; others follow by `rule` while each is right on more than
    `theta` of all rows where those before it are all wrong.

    Parameters
    ----------
    right
        Whether each network is right [networks, rows], fastest network first.
    theta
        Least gain, as a share of the rows.
    rule
        One of `RULES`.
    """
    if rule not in RULES:
        raise ValueError(f"rule is one of {', '.join(RULES)}, not {rule!r}")
    networks, rows = right.shape
    first = np.bincount(cheapest_right(right), minlength=networks + 1)[:networks]
    chosen = [int(first.argmax())]
    wrong = ~right[chosen[0]]
    while len(chosen) < networks:
        left = [one for one in range(networks) if one not in chosen]
        gains = (right[left] & wrong).sum(axis=1)
        if rule == "accuracy":
            best = int(gains.argmax())
        else:
            optimal = cheapest_right(right[left][:, wrong])
            best = int(np.bincount(optimal, minlength=len(left) + 1)[: len(left)].argmax())
        if not gains[best] > theta * rows:
            break
        chosen.append(left[best])
        wrong &= ~right[left[best]]
    return chosen
