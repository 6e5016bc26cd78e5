"""Early exits from a Keras file to a policy: exits are added, thresholds fitted, and those that do not pay are left out again."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.errors import BudgetError
from profiler.files import clear_unfinished
from profiler.locks import owned
from profiler.progress import ProgressCallback, silent, sub_progress
from profiler.tflite import only_signature, read_network, read_signatures
from selector.candidates import Answers, gather_segments, heads_ms
from selector.policies import EarlyExitPolicy, PolicyFit, PolicyGoal, PolicyPoint, SearchSettings, table_point
from selector.runtime import save_policy
from timemodel.model import NetworkPredictor, TimeModel
from timemodel.runtime import RowLoop

if TYPE_CHECKING:
    from compressor.data import Data
    from compressor.exits import NetworkWithExits

LEAST_SHARE = 0.02
"""An exit at which fewer rows stop is left out: its head costs all rows that pass it more."""

_MAKING_SHARE = 0.9

_QUICK = SearchSettings(gates=SearchSettings().gates[:1], per_class=False, prices=16)
"""To see which exits pay."""


@dataclass(frozen=True)
class EarlyExits:
    """A network with exits and the policy that says where rows stop.

    Parameters
    ----------
    network
        The network, with the exits that pay.
    fit
        The policy and what was seen on the rows that thresholds come from.
    policy
        The file of it; None where no exit pays, so that there is none.
    on_test
        The policy, and the network without exits, on the test rows; empty where the data has none.
    notes
        Sentences for the user.
    """

    network: NetworkWithExits
    fit: PolicyFit
    policy: Path | None
    on_test: tuple[PolicyPoint, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; those of the policy are as ``edgetime select --per-input`` gives them."""
        return {
            **self.fit.to_dict(f"the validation rows of {self.network.held.source}"),
            **self.network.to_dict(),
            "policy": None if self.policy is None else str(self.policy),
            "on_test": [vars(point) | {"stop_shares": list(point.stop_shares)} for point in self.on_test],
            "notes": list(self.notes),
        }


def add_early_exits(
    model: Any,
    data: Data | str | os.PathLike[str],
    time_model: NetworkPredictor | str | os.PathLike[str],
    out: str | os.PathLike[str],
    goal: PolicyGoal | None = None,
    *,
    progress: ProgressCallback = silent,
    **options: Any,
) -> EarlyExits:
    """Add early exits to a trained Keras network and find where its inputs may stop.

    Parameters
    ----------
    model, data, time_model, out, options
        As of `compressor.exits.make_exits`. Thresholds come from the validation rows of `data`, which no weight was trained on.
    goal
        What the policy must reach; default: the least time at no loss of accuracy.

    Raises
    ------
    EdgetimeError
        As `make_exits`, and a goal that cannot be met.

    Examples
    --------
    >>> found = add_early_exits("net.keras", "data.npz", "pi4.timemodel.json", "exits")       # doctest: +SKIP
    >>> found.fit.chosen.mean_ms, found.policy                                                # doctest: +SKIP
    """
    with owned(out, "-o"):
        clear_unfinished(out, below=True)
        return _with_exits(model, data, time_model, Path(out), goal or PolicyGoal(), progress, options)


def _with_exits(
    model: Any,
    data: Data | str | os.PathLike[str],
    time_model: NetworkPredictor | str | os.PathLike[str],
    out: Path,
    goal: PolicyGoal,
    progress: ProgressCallback,
    options: Mapping[str, Any],
) -> EarlyExits:
    """See `add_early_exits`; nobody else works on `out`."""
    from compressor.exits import make_exits

    times = TimeModel.load(time_model) if isinstance(time_model, (str, os.PathLike)) else time_model
    network = make_exits(
        model, data, times, out, progress=sub_progress(progress, 0, _MAKING_SHARE), **options
    )
    notes = list(network.notes)
    progress(_MAKING_SHARE, "fitting thresholds")
    fit, paying = None, _paying(network, times, goal)
    ends = len(network.segments) - 1
    unused = [place for place in range(ends) if place not in paying]
    while fit is None or 0 < len(unused) < ends:
        if unused and paying:
            named = " and ".join(f"after {network.segments[place].after}" for place in unused)
            notes.append(f"The exit {named} was left out again: the network is faster without it.")
            network = network.without(unused)
            ends -= len(unused)
        fit = _fitted(network, times, goal)
        unused = _unused(network, fit) if paying else list(range(ends))
    policy = None
    (network.folder / "policy.json").unlink(missing_ok=True)
    if len(unused) == ends:
        notes.append(
            "No exit pays: at none of them are rows sure enough within this goal. Run the network as it is (single.tflite), allow "
            "more --max-accuracy-drop, or give heads more layers with --head deep."
        )
    else:
        policy = save_policy(fit.specification, fit.paths, network.folder / "policy.json")
    progress(1.0, "done")
    return EarlyExits(network, fit, policy, _on_test(network, times, fit), (*notes, *fit.notes))


def fit_exits(
    answers: Answers,
    goal: PolicyGoal,
    single_ms: float,
    device: str = "",
    settings: SearchSettings | None = None,
) -> PolicyFit:
    """Fit thresholds to the exits of one network; `single_ms` is what it takes without any."""
    if goal.prefer == "accuracy" and goal.budget_ms is None:
        goal = replace(goal, budget_ms=single_ms)
    fit = EarlyExitPolicy(settings).fit(answers, goal, device=device)
    expected = {**fit.specification.expected, "single_ms": single_ms}
    return replace(fit, specification=replace(fit.specification, expected=expected))


def _paying(network: NetworkWithExits, times: NetworkPredictor, goal: PolicyGoal) -> tuple[int, ...]:
    """The exits, by place, with which the policy is best; empty where it is no faster than the network without any."""
    answers = _answers(network, times)
    last = len(network.segments) - 1
    heads = heads_ms(times, network.file, answers.classes)
    single_ms = _single_ms(network, times)
    goal = replace(goal, confidence=None)
    found = []
    for count in range(1, last + 1):
        for chosen in itertools.combinations(range(last), count):
            with contextlib.suppress(BudgetError):
                few = with_exits(answers, heads, chosen)
                point = fit_exits(few, goal, single_ms, settings=_QUICK).chosen
                rank = (
                    point.mean_ms if goal.prefer == "time" else -(point.expected_accuracy or point.accuracy)
                )
                if point.stop_shares[-1] < 1 - LEAST_SHARE or point.longest_ms < single_ms:
                    found.append((rank, point.mean_ms, chosen))
    best = min(found, default=None)
    return best[2] if best and best[1] < single_ms else ()


def with_exits(answers: Answers, heads: list[float], chosen: tuple[int, ...]) -> Answers:
    """What only some of the exits, and the end, would answer and take: heads that are left out take no time."""
    last = len(answers.networks) - 1
    reached = answers.times_ms.cumsum()
    places = [*chosen, last]
    left_out = [sum(heads[one] for one in range(place) if one not in chosen) for place in places]
    own_ms = np.diff([reached[place] - out for place, out in zip(places, left_out, strict=True)], prepend=0.0)
    few = answers.of(places)
    pairs = zip(few.networks, own_ms.tolist(), strict=True)
    return replace(few, networks=tuple(replace(one, predicted_ms=ms) for one, ms in pairs))


def _fitted(network: NetworkWithExits, times: NetworkPredictor, goal: PolicyGoal) -> PolicyFit:
    return fit_exits(_answers(network, times), goal, _single_ms(network, times), times.device)


def _single_ms(network: NetworkWithExits, times: NetworkPredictor) -> float:
    """What the network without exits takes, and handing it a row."""
    first = read_network(only_signature(network.file, read_signatures(network.file)[0]))
    row_bytes = sum(first.tensors[index].nbytes for index in first.inputs)
    return network.single_ms + RowLoop.of(times).run_ms(row_bytes)


def _answers(network: NetworkWithExits, times: NetworkPredictor) -> Answers:
    """What the exits answer on the rows that thresholds come from."""
    held = network.held
    assert held.x_val is not None
    return gather_segments(
        times, network.file, held.x_val, np.asarray(held.y_val), form=network.form, source=held.source
    )


def _unused(network: NetworkWithExits, fit: PolicyFit) -> list[int]:
    """Exits, by place, at which hardly a row stops."""
    shares = fit.chosen.stop_shares
    stages = [stage.network for stage in fit.specification.stages]
    stopped = dict(zip(stages, shares, strict=True))
    return [place for place in range(len(network.segments) - 1) if stopped.get(place, 0.0) < LEAST_SHARE]


def _on_test(network: NetworkWithExits, times: NetworkPredictor, fit: PolicyFit) -> tuple[PolicyPoint, ...]:
    """The policy and the network without exits, on the test rows."""
    held = network.held
    if held.x_test is None:
        return ()
    y = np.asarray(held.y_test)
    answers = gather_segments(times, network.file, held.x_test, y, form=network.form, source=held.source)
    seen = EarlyExitPolicy().replay(fit.specification, answers)
    right = answers.right[-1]
    single_ms = _single_ms(network, times)
    return (
        table_point(
            fit.chosen.name, "early_exit", seen.named == y, seen.ms, seen.longest_ms,
            stopped=seen.stopped, stages=len(fit.specification.stages),
        ),
        table_point("without exits", "single", right, np.full(len(y), single_ms), single_ms),
    )  # fmt: skip
