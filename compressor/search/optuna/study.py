"""A study that processes share: each asks for a trial, signs it, and tells what came of it.

A process that ends in the middle of a trial, however it ends, leaves it signed and without a beat: another
one notices, gives it up and puts its parameters first in the queue.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compressor.graph import Widths
from compressor.search.base import SearchOverError
from compressor.search.optuna.ownership import Owner, Pulse
from compressor.search.optuna.policy import Past
from compressor.search.optuna.proposals import (
    Shares,
    parameter,
    shares_in,
)
from compressor.search.optuna.storage import (
    JOURNAL,
    open_storage,
    telling,
)
from compressor.search.trial import Trial

LEVEL = "level"
"""The parameter that says which cost a trial stays within."""

ABOUT = "edgetime"
"""The attribute of a study that says what it is about."""

OVER = "over"
"""The attribute of a study that says whether the leading process has ended it."""

BEING_TRIED = "being tried"
"""Why a trial is void that yielded to another one about the same widths."""

_MOST_RETRIES = 3
_DECIDE_S = 5.0
_LOOK_S = 0.02
_live: set[str] = set()


class SharedStudy:
    """One process's view of the study.

    Parameters
    ----------
    url, folder, name
        Where it is: a database, else a journal in the folder, else in memory; and what it is called there.
    costs
        How many costs are made small, beside the score that is made large.
    leads
        Whether this process answers for the whole: it makes the study, and ends it for the others.
    about
        Plain JSON values for those who join.
    beat_s, grace_s
        Seconds between beats, and without one after which a process on another machine counts as gone.

    Attributes
    ----------
    given_up
        The error of whoever goes on with a trial that others gave up, as this process seemed to be gone.

    Raises
    ------
    StorageError
        The storage cannot be reached. Any method may say that it went away.
    """

    def __init__(
        self,
        url: str | None,
        folder: Path | None,
        name: str,
        costs: int,
        leads: bool = True,
        about: Mapping[str, Any] | None = None,
        beat_s: float = 10.0,
        grace_s: float = 60.0,
    ) -> None:
        import optuna
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.study import StudyDirection

        self.given_up = UpdateFinishedTrialError
        self.where = url or ("memory" if folder is None else str(folder / JOURNAL))
        self._leads, self._beat_s = leads, beat_s
        self._pulse = Pulse(grace_s)
        self._owner, self._token = Owner.current(), uuid.uuid4().hex
        self._asked: Any = None
        self._stop = threading.Event()
        self._raw = open_storage(url, folder)
        with telling(self.where, "cannot be used"):
            self.study = optuna.create_study(
                storage=self._raw,
                study_name=name,
                directions=[StudyDirection.MAXIMIZE, *([StudyDirection.MINIMIZE] * costs)],
                load_if_exists=True,
            )
            if leads and (about is not None or OVER in self.study.user_attrs):
                self.study.set_user_attr(OVER, False)
            if leads and about is not None:
                self.study.set_user_attr(ABOUT, dict(about))
        _live.add(self._token)
        self._heart: threading.Thread | None = None
        if url is not None or folder is not None:
            self._heart = threading.Thread(target=self._beat, name="edgetime-beat", daemon=True)
            self._heart.start()

    def past(self) -> list[Past]:
        """The trials that there are, but for those that wait and those that were given up."""
        with telling(self.where):
            frozen = self.study.get_trials(deepcopy=False)
        found = []
        for one in frozen:
            attributes = one.user_attrs
            state = {"COMPLETE": "finished", "PRUNED": "pruned", "RUNNING": "running"}.get(one.state.name)
            if one.state.name == "FAIL" and attributes.get("void"):
                state = "void"
            if state is None:
                continue
            kept = attributes.get("trial")
            found.append(
                Past(
                    one.number,
                    state,
                    attributes.get("kind", "front"),
                    float(one.params.get(LEVEL, math.inf)),
                    shares_in(one.params),
                    attributes.get("widths"),
                    None if kept is None else Trial.from_dict(kept),
                    attributes.get("rung"),
                    float(attributes.get("cost", math.inf)),
                    tuple(attributes.get("costs", ())),
                    bool(attributes.get("begun", False)),
                    attributes.get("void") == BEING_TRIED,
                )
            )
        return found

    def waiting(self) -> int:
        """How many trials wait to be taken up."""
        import optuna

        with telling(self.where):
            states = (optuna.trial.TrialState.WAITING,)
            return len(self.study.get_trials(deepcopy=False, states=states))

    def ask(self, kind: str, level: float | None, shares: Shares | None) -> Any:
        """Take up a trial: the one that waits longest, else one with these parameters; the sampler chooses
        what is None."""
        with telling(self.where):
            if not self.waiting() and level is not None:
                params = {} if shares is None else {parameter(name): share for name, share in shares.items()}
                self.study.enqueue_trial({LEVEL: level, **params}, user_attrs={"kind": kind})
            asked = self.study.ask()
            asked.set_user_attr("owner", {**self._owner.to_dict(), "token": self._token})
            if "kind" not in asked.user_attrs:
                asked.set_user_attr("kind", "front")
        self._asked = asked
        return asked

    def claim(self, asked: Any, widths: Widths, cost: float, costs: Sequence[float]) -> bool:
        """Say which widths a trial is about; False where another process was first to say the same.

        Of two that say so at the very same time, the later trial yields. One that was asked for earlier but took
        longer to choose its widths yields to one that has begun. So whoever has begun looks again: an earlier one may
        have said the same just before, and begins or yields at once.
        """
        with telling(self.where):
            asked.set_user_attr("cost", cost)
            asked.set_user_attr("costs", list(costs))
            asked.set_user_attr("widths", dict(widths))
        rivals = self._rivals(asked, widths)
        if any(one.state != "running" or one.begun or one.number < asked.number for one in rivals):
            return False
        with telling(self.where):
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

    def _rivals(self, asked: Any, widths: Widths) -> list[Past]:
        """Other trials about the same widths, but for the one that this is the retry of."""
        own = (asked.number, asked.user_attrs.get("again"))
        return [
            one
            for one in self.past()
            if one.number not in own and one.widths == dict(widths) and one.state != "void"
        ]

    def tell(self, asked: Any, trial: Trial, values: Sequence[float], rung_score: float | None) -> None:
        """A trial is finished."""
        self._end(asked, {"trial": trial.to_dict(), "rung": rung_score}, values=list(values))

    def prune(self, asked: Any, rung_score: float) -> None:
        """A trial was stopped early."""
        import optuna

        self._end(asked, {"rung": rung_score}, state=optuna.trial.TrialState.PRUNED)

    def void(self, asked: Any, reason: str, trial: Trial | None = None) -> None:
        """There was nothing to train: the widths cannot be, or were tried before (then `trial` is that)."""
        import optuna

        kept = {"void": reason, **({} if trial is None else {"trial": trial.to_dict()})}
        self._end(asked, kept, state=optuna.trial.TrialState.FAIL)

    def drop(self, asked: Any) -> None:
        """A trial too many: as if it had never been. One whose process was lost goes back to where it waited."""
        import optuna

        if "retry" in asked.user_attrs:
            self.release()
        else:
            self._end(asked, {}, state=optuna.trial.TrialState.FAIL)

    def release(self) -> None:
        """Give back the trial that this process has taken up, for another one or a later run."""
        asked, self._asked = self._asked, None
        if asked is not None:
            with contextlib.suppress(Exception):
                self._requeue(self.study.trials[asked.number], 0)

    def forget(self) -> None:
        """Others gave up the trial that this process has taken up."""
        self._asked = None

    def add(
        self, params: Mapping[str, float], distributions: Mapping[str, Any], trial: Trial,
        values: Sequence[float], cost: float, costs: Sequence[float],
    ) -> None:  # fmt: skip
        """Put in a trial that was finished before there was this study."""
        import optuna

        attributes = {"kind": "known", "widths": dict(trial.widths), "trial": trial.to_dict()}
        with telling(self.where):
            self.study.add_trial(
                optuna.trial.create_trial(
                    params=dict(params),
                    distributions=dict(distributions),
                    values=list(values),
                    user_attrs={**attributes, "cost": cost, "costs": list(costs)},
                )
            )

    def heal(self) -> int:
        """Give up trials whose process is gone, and queue them again; how many there were."""
        import optuna

        healed = 0
        with telling(self.where):
            for one in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                if self._asked is not None and one.number == self._asked.number:
                    continue
                signed = one.user_attrs.get("owner")
                owner = None if signed is None else Owner.from_dict(signed)
                if signed is not None and owner == self._owner:
                    gone = signed.get("token") not in _live
                else:
                    gone = self._pulse.gone(one.number, owner, one.user_attrs.get("beat"))
                if gone:
                    healed += self._requeue(one, 1)
        return healed

    def check_over(self) -> None:
        """End where the leading process has ended the study.

        Raises
        ------
        SearchOverError
            That is so.
        """
        if not self._leads:
            with telling(self.where):
                if self.study.user_attrs.get(OVER):
                    raise SearchOverError

    def close(self, over: bool = False) -> None:
        """Leave the study.

        Parameters
        ----------
        over
            End it for the others as well.
        """
        self.release()
        self._stop.set()
        _live.discard(self._token)
        with contextlib.suppress(Exception):
            if over and self._leads:
                self.study.set_user_attr(OVER, True)
        if self._heart is not None:
            self._heart.join(timeout=1.0)
        with contextlib.suppress(Exception):
            self._raw.remove_session()
            self._raw.engine.dispose()

    def _end(self, asked: Any, attributes: Mapping[str, Any], **told: Any) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        with telling(self.where):
            try:
                for key, value in attributes.items():
                    if value is not None:
                        asked.set_user_attr(key, value)
                self.study.tell(asked, **told)
            except (UpdateFinishedTrialError, ValueError):
                # Others took this process for gone and gave its trial up; what it found is kept in its folder.
                pass
        self._asked = None

    def _requeue(self, one: Any, lost: int) -> int:
        """Give up a running trial and queue it again; of several processes one does.

        It is queued first: else another process could take its place between the two.
        """
        import optuna

        again = int(one.user_attrs.get("retry", 0)) + lost
        kept = {key: one.user_attrs[key] for key in ("kind",) if key in one.user_attrs}
        storage, mark = self.study._storage, uuid.uuid4().hex
        if again <= _MOST_RETRIES and one.params:
            told = {**kept, "retry": again, "again": one.number, "mark": mark}
            self.study.enqueue_trial(dict(one.params), user_attrs=told)
        try:
            if again > _MOST_RETRIES:
                storage.set_trial_user_attr(one._trial_id, "void", "its processes ended too often")
            storage.set_trial_state_values(one._trial_id, optuna.trial.TrialState.FAIL)
        except self.given_up:
            self._withdraw(mark)
            return 0
        return 1

    def _withdraw(self, mark: str) -> None:
        """Take back a trial that was queued, unless somebody has taken it up."""
        import optuna

        for one in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
            if one.user_attrs.get("mark") == mark:
                with contextlib.suppress(self.given_up):
                    self.study._storage.set_trial_state_values(one._trial_id, optuna.trial.TrialState.FAIL)

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(self._beat_s):
            asked = self._asked
            if asked is not None:
                count += 1
                # Whatever goes wrong here the work itself meets as well, and tells.
                with contextlib.suppress(Exception):
                    self.study._storage.set_trial_user_attr(asked._trial_id, "beat", count)
