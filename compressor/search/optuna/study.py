"""A study that processes share: each takes up a trial, and reports what came of it.

The trial of a process that ends, however it ends, misses its heartbeats: Optuna gives it up and queues it again.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.study import StudyDirection

from compressor.graph import Widths
from compressor.search.base import SearchOverError
from compressor.search.optuna.next_trial import StudyTrial
from compressor.search.optuna.proposals import Shares, named, shares_in
from compressor.search.optuna.storage import MOST_RETRIES, close_storage, open_storage, reporting
from compressor.search.trial import Trial

LEVEL = "level"
"""The parameter that says which cost a trial stays within."""

ABOUT = "edgetime"
"""The attribute of a study that says what it is about."""

OVER = "over"
"""The attribute of a study that says whether the leading process has ended it."""

BEING_TRIED = "being tried"
"""Why a trial is void that yielded to another one about the same widths."""

_DECIDE_S = 5.0
_LOOK_S = 0.02


class SharedStudy:
    """One process's view of the study, with so many `costs` beside the score; all else as in `OptunaSearch`."""

    def __init__(
        self,
        url: str | None,
        folder: Path | None,
        name: str,
        costs: int,
        leads: bool = True,
        about: Mapping[str, Any] | None = None,
        beat_s: int = 10,
        grace_s: int = 60,
    ) -> None:
        self._place, self._leads = (url, folder), leads
        self._opened = open_storage(url, folder, beat_s, grace_s)
        with reporting(*self._place, "cannot be used"):
            self.study = optuna.create_study(
                storage=self._opened,
                study_name=name,
                directions=[StudyDirection.MAXIMIZE, *([StudyDirection.MINIMIZE] * costs)],
                load_if_exists=True,
            )
            if leads and (about is not None or OVER in self.study.user_attrs):
                self.study.set_user_attr(OVER, False)
            if leads and about is not None:
                self.study.set_user_attr(ABOUT, dict(about))

    def trials(self) -> list[StudyTrial]:
        """The trials that there are, but for those that wait and those that were given up."""
        with reporting(*self._place):
            frozen = self.study.get_trials(deepcopy=False)
        return [trial for one in frozen if (trial := _study_trial(one)) is not None]

    def waiting(self) -> int:
        """How many trials wait to be taken up."""
        with reporting(*self._place):
            states = (optuna.trial.TrialState.WAITING,)
            return len(self.study.get_trials(deepcopy=False, states=states))

    def ask(self, kind: str, level: float | None, shares: Shares | None) -> Any:
        """Take up the trial that waits longest, else one with these parameters; the sampler chooses what is None."""
        with reporting(*self._place):
            if not self.waiting() and level is not None:
                self.study.enqueue_trial({LEVEL: level, **named(shares or {})}, user_attrs={"kind": kind})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that heartbeats go with `Study.optimize`: see `working_on`
                asked = self.study.ask()
            # For people who look at the study.
            asked.set_user_attr("process", f"{platform.node()}:{os.getpid()}")
            if "kind" not in asked.user_attrs:
                asked.set_user_attr("kind", "front")
            if "begun" in asked.user_attrs:  # by a process that ended
                asked.set_user_attr("begun", False)
        return asked

    @contextlib.contextmanager
    def working_on(self, asked: Any) -> Iterator[None]:
        """Keep up the heartbeat of a trial; where the work ends with an error, it goes back into the queue.

        `Study.optimize` fails an assertion where another process has given the trial up, as after a long sleep of this machine.
        """
        try:
            with get_heartbeat_thread(asked._trial_id, self.study._storage):
                yield
        except UpdateFinishedTrialError:
            pass
        except BaseException:
            with contextlib.suppress(Exception):
                self._give_back(asked)
            raise

    def _give_back(self, asked: Any) -> None:
        """Queue a trial again for another process or a later run, without counting it as lost."""
        self.study.tell(asked, state=optuna.trial.TrialState.FAIL)
        ended = self.study._storage.get_trial(asked._trial_id)
        if ended.params:
            self.study.add_trial(
                optuna.create_trial(
                    state=optuna.trial.TrialState.WAITING,
                    params=ended.params,
                    distributions=ended.distributions,
                    user_attrs={"kind": ended.user_attrs["kind"]},
                    system_attrs=ended.system_attrs,
                )
            )

    def retry_lost(self) -> None:
        """Give up trials whose process is gone, and queue them again."""
        with reporting(*self._place), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is "experimental"
            optuna.storages.fail_stale_trials(self.study)

    def claim(self, asked: Any, widths: Widths, cost: float, costs: Sequence[float]) -> bool:
        """Say which widths a trial is about; False where another process was first to say the same.

        Of two that say so at the very same time, the later trial yields. One that was asked for earlier but took
        longer to choose its widths yields to one that has begun. So whoever has begun looks again: an earlier one may
        have said the same just before, and begins or yields at once.
        """
        with reporting(*self._place):
            asked.set_user_attr("cost", cost)
            asked.set_user_attr("costs", list(costs))
            asked.set_user_attr("widths", dict(widths))
        rivals = self._rivals(asked, widths)
        if any(one.state != "running" or one.begun or one.number < asked.number for one in rivals):
            return False
        with reporting(*self._place):
            asked.set_user_attr("begun", True)
        until = time.monotonic() + _DECIDE_S
        while True:
            rivals = self._rivals(asked, widths)
            earlier = [one for one in rivals if one.number < asked.number]
            if any(one.state != "running" for one in rivals) or any(one.begun for one in earlier):
                return False
            if not earlier or time.monotonic() > until:
                return True
            time.sleep(_LOOK_S)

    def _rivals(self, asked: Any, widths: Widths) -> list[StudyTrial]:
        """Other trials about the same widths."""
        return [
            one
            for one in self.trials()
            if one.number != asked.number and one.widths == dict(widths) and one.state != "void"
        ]

    def finish(self, asked: Any, trial: Trial, values: Sequence[float], early_score: float | None) -> None:
        """A trial is finished."""
        self._end(asked, {"trial": trial.to_dict(), "early_score": early_score}, values=list(values))

    def prune(self, asked: Any, early_score: float) -> None:
        """A trial was stopped early."""
        self._end(asked, {"early_score": early_score}, state=optuna.trial.TrialState.PRUNED)

    def void(self, asked: Any, reason: str | None = None, trial: Trial | None = None) -> None:
        """There was nothing to train (`trial` where it was tried before); without a reason it is as if it had never been."""
        attributes = {"void": reason, "trial": None if trial is None else trial.to_dict()}
        self._end(asked, attributes, state=optuna.trial.TrialState.FAIL)

    def _end(self, asked: Any, attributes: Mapping[str, Any], **outcome: Any) -> None:
        with reporting(*self._place):
            for key, value in attributes.items():
                if value is not None:
                    asked.set_user_attr(key, value)
            # Where others gave the trial up meanwhile, what it found is kept in this search's folder all the same.
            self.study.tell(asked, skip_if_finished=True, **outcome)

    def add(
        self, params: Mapping[str, float], distributions: Mapping[str, Any], trial: Trial,
        values: Sequence[float], cost: float, costs: Sequence[float],
    ) -> None:  # fmt: skip
        """Put in a trial that was finished before there was this study."""
        attributes = {"kind": "known", "widths": dict(trial.widths), "trial": trial.to_dict()}
        with reporting(*self._place):
            self.study.add_trial(
                optuna.trial.create_trial(
                    params=dict(params),
                    distributions=dict(distributions),
                    values=list(values),
                    user_attrs={**attributes, "cost": cost, "costs": list(costs)},
                )
            )

    def check_over(self) -> None:
        """Raise `SearchOverError` where the leading process has ended the study."""
        if not self._leads:
            with reporting(*self._place):
                if self.study.user_attrs.get(OVER):
                    raise SearchOverError

    def close(self, over: bool = False) -> None:
        """Leave the study; where it is `over`, end it for the others as well."""
        with contextlib.suppress(Exception):
            if over and self._leads:
                self.study.set_user_attr(OVER, True)
        with contextlib.suppress(Exception):
            close_storage(self._opened)


def _study_trial(one: Any) -> StudyTrial | None:
    """What a trial of Optuna's says; None for one that waits or was given up."""
    attributes = one.user_attrs
    state = {"COMPLETE": "finished", "PRUNED": "pruned", "RUNNING": "running"}.get(one.state.name)
    if one.state.name == "FAIL" and (attributes.get("void") or _retried_too_often(one)):
        state = "void"
    if state is None:
        return None
    kept = attributes.get("trial")
    return StudyTrial(
        one.number,
        state,
        attributes.get("kind", "front"),
        float(one.params.get(LEVEL, math.inf)),
        shares_in(one.params),
        attributes.get("widths"),
        None if kept is None else Trial.from_dict(kept),
        attributes.get("early_score"),
        float(attributes.get("cost", math.inf)),
        tuple(attributes.get("costs", ())),
        bool(attributes.get("begun", False)),
        attributes.get("void") == BEING_TRIED,
    )


def _retried_too_often(one: Any) -> bool:
    """Whether the processes of a trial ended so often that it is not queued again."""
    return len(one.system_attrs.get("retry_history", ())) >= MOST_RETRIES
