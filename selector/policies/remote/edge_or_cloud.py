"""Edge or cloud for each input: what a cascade of networks here is not sure of is sent to a larger network elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from profiler.errors import UsageError
from profiler.progress import ProgressCallback, silent
from profiler.tflite import read_network
from selector.candidates import Answers, Link
from selector.policies.base import Policy, PolicyFit
from selector.policies.cascade import fit_cascade
from selector.policies.goal import PolicyGoal
from selector.policies.remote.split_point import check_there
from selector.policies.stages import SearchSettings, best_single
from selector.runtime import Specification
from timemodel.model import NetworkPredictor


class EdgeOrCloudPolicy(Policy):
    """Networks here one after another until one is sure; the rest is sent to one network there.

    Parameters
    ----------
    link
        What sending costs.
    there
        The other machine's time model; None takes the link's `cloud_ms`.
    network
        Name of the network there; default: the most accurate one.
    input_bytes
        Size of an input as it is sent; default: as `inputs` hold it.
    settings
        How wide the search is.
    """

    kind = "edge_or_cloud"

    def __init__(
        self,
        link: Link,
        there: NetworkPredictor | None = None,
        network: str | None = None,
        input_bytes: int | None = None,
        settings: SearchSettings | None = None,
    ) -> None:
        check_there(link, there)
        self.link = link
        self.there = there
        self.network = network
        self.input_bytes = input_bytes
        self.settings = settings

    def fit(
        self,
        answers: Answers,
        goal: PolicyGoal,
        *,
        inputs: Any = None,
        device: str = "",
        progress: ProgressCallback = silent,
    ) -> PolicyFit:
        """Find the thresholds by which rows are sent; the search and its promise are those of cascades.

        The best single network, which accuracy is held against, may be the one there.
        """
        remote = self._remote(answers)
        nbytes = self.input_bytes if self.input_bytes is not None else row_bytes(inputs)
        if self.there is not None:
            there_ms = self.there.predict(read_network(answers.paths[remote])).predicted_ms
        else:
            there_ms = self.link.cloud_ms or 0.0
        sent_ms = self.link.send_ms(nbytes) + there_ms
        both, notes = with_remote(answers, remote, sent_ms, self.link.send_mj(nbytes))
        found = fit_cascade(
            both, goal, settings=self.settings, kind=self.kind, device=device, progress=progress
        )
        return self._finished(found, answers, both, sent_ms, nbytes, notes)

    def _remote(self, answers: Answers) -> int:
        names = [network.name for network in answers.networks]
        if self.network is None:
            return best_single(answers)
        if self.network not in names:
            raise UsageError(f"There is no network {self.network!r}: choose from {', '.join(names)}.")
        return names.index(self.network)

    def _finished(
        self,
        found: PolicyFit,
        answers: Answers,
        both: Answers,
        sent_ms: float,
        nbytes: int,
        notes: tuple[str, ...],
    ) -> PolicyFit:
        """With a single network that is here, and with what is sent."""
        specification, paths = with_local_single(found.specification, found.paths, both)
        sent = 0.0
        if specification.networks[specification.stages[-1].network].remote:
            sent = float(specification.expected["stop_shares"][-1])
        energy_mj = self.link.send_mj(nbytes)
        expected = {
            **specification.expected,
            "single_name": both.networks[best_single(both)].name,
            "sent_share": sent,
            "sending_mj": None if energy_mj is None else sent * energy_mj,
        }
        settings = {
            "link": self.link.to_dict(),
            "sent_bytes": nbytes,
            "sent_ms": sent_ms,
        }
        if not sent:
            notes = (*notes, f"Sending an input takes {sent_ms:.3g} ms, so none is sent.")
        return replace(
            found,
            specification=replace(specification, expected=expected, settings=settings),
            paths=paths,
            notes=(*found.notes, *notes),
        )


def with_remote(
    answers: Answers, remote: int, sent_ms: float, sent_mj: float | None = None
) -> tuple[Answers, tuple[str, ...]]:
    """The networks that are faster here than sending takes, and after them the one there; with a note on what is left out."""
    here = [index for index, network in enumerate(answers.networks) if network.predicted_ms <= sent_ms]
    slower = [answers.networks[i].name for i in range(len(answers.networks)) if i not in here and i != remote]
    known = answers.networks[remote]
    there = replace(
        known, name=f"{known.name} (there)", predicted_ms=sent_ms, predicted_mj=sent_mj, remote=True
    )
    chosen = answers.of([*here, remote])
    notes = (f"Slower here than sending an input: {', '.join(slower)}.",) if slower else ()
    return replace(chosen, networks=(*chosen.networks[:-1], there)), notes


def with_local_single(
    specification: Specification, paths: tuple[Path, ...], answers: Answers
) -> tuple[Specification, tuple[Path, ...]]:
    """The policy with the most accurate network that is here for its single one; UsageError where there is none."""
    local = [index for index, network in enumerate(answers.networks) if not network.remote]
    if not local:
        raise UsageError(
            "No network is as fast here as sending its input: there is nothing to run where the link is down. "
            "Name a smaller network too."
        )
    best = local[best_single(answers.of(local))]
    known = answers.networks[best]
    networks = specification.networks
    if known not in networks:
        networks, paths = (*networks, known), (*paths, answers.paths[best])
    return replace(specification, networks=networks, single=networks.index(known)), paths


def row_bytes(inputs: Any) -> int:
    """Size of one row as it is held."""
    if inputs is None:
        raise UsageError("Say how large an input is (input_bytes), or give the inputs.")
    arrays = inputs.values() if isinstance(inputs, Mapping) else [inputs]
    return sum(int(np.asarray(array)[:1].nbytes) for array in arrays)
