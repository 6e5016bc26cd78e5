"""Where one network is best cut between this device and a machine that a link leads to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from profiler.errors import EdgetimeError, UsageError
from profiler.files import write_bytes
from profiler.network import Network
from profiler.tflite import Cut, find_cuts, read_network, split_file
from selector.candidates import Link
from selector.runtime import PolicyNetwork, Specification, save_policy
from timemodel.model import NetworkPrediction, NetworkPredictor

_LOOKED_AT = 5
"""So many of the best cuts are written and predicted as files; sums of layers rank them."""


@dataclass(frozen=True)
class SplitOption:
    """One way to share a network between two machines.

    Parameters
    ----------
    cut
        Where it is cut; None where all of it runs on one machine.
    name
        For people: ``"all here"``, ``"all there"``, or the operator before the cut.
    here_ms, send_ms, there_ms
        Predicted time here, of sending and the reply, and there.
    nbytes
        What is sent.
    energy_mj
        What the device spends on computing and sending; None where not known.
    """

    cut: Cut | None
    name: str
    here_ms: float
    send_ms: float
    there_ms: float
    nbytes: int
    energy_mj: float | None = None

    @property
    def total_ms(self) -> float:
        """Predicted time of an input."""
        return self.here_ms + self.send_ms + self.there_ms

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = {**asdict(self), "total_ms": self.total_ms}
        cut = values.pop("cut")
        return {"after": None if cut is None else cut["after"], **values}


@dataclass(frozen=True)
class Split:
    """What `best_split` finds.

    Parameters
    ----------
    options
        All ways, in the order of the network: all there first, all here last.
    best
        The one of least time whose files were checked.
    head, tail
        The two files' bytes; None where all runs on one machine.
    notes
        Sentences for the user.
    """

    path: Path
    device: str
    link: Link
    options: tuple[SplitOption, ...]
    best: SplitOption
    head: bytes | None = None
    tail: bytes | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "network": str(self.path),
            "device": self.device,
            "link": self.link.to_dict(),
            "best": self.best.to_dict(),
            "options": [option.to_dict() for option in self.options],
            "notes": list(self.notes),
        }


def best_split(
    path: str | os.PathLike[str],
    here: NetworkPredictor,
    link: Link,
    there: NetworkPredictor | None = None,
    input_bytes: int | None = None,
) -> Split:
    """Find where a network is best cut.

    Parameters
    ----------
    path
        Its ``.tflite`` file.
    here
        The device's time model.
    link
        What sending costs; its `cloud_ms` is the time of the whole network there.
    there
        The other machine's time model, in place of `cloud_ms`; else a tail takes there the share of `cloud_ms` that it has of the
        network's time here.
    input_bytes
        Size of an input as it is sent where nothing runs here; default: as the network takes it.

    Raises
    ------
    UsageError
        The time there is not known, or known twice.
    """
    file = Path(path)
    check_there(link, there)
    network = read_network(file)
    prediction = here.predict(network)
    size = input_bytes if input_bytes is not None else _input_bytes(network)
    whole_there = there.predict(network).predicted_ms if there is not None else _known(link.cloud_ms)
    cuts = find_cuts(network)
    sums_here = _sums(network, prediction)
    sums_there = None if there is None else _sums(network, there.predict(network))
    options = [
        _option(None, "all there", 0.0, whole_there, size, link, 0.0 if prediction.energy_mj else None)
    ]
    for cut in cuts:
        share = sums_here[cut.after] / sums_here[-1] if sums_here[-1] > 0 else 0.0
        rest = sums_there[-1] - sums_there[cut.after] if sums_there is not None else (1 - share) * whole_there
        energy_mj = None if prediction.energy_mj is None else share * prediction.energy_mj
        options.append(
            _option(cut, cut.name, float(sums_here[cut.after]), float(rest), cut.nbytes, link, energy_mj)
        )
    options.append(SplitOption(None, "all here", prediction.predicted_ms, 0.0, 0.0, 0, prediction.energy_mj))
    content = file.read_bytes()
    notes: list[str] = []
    best, files = min((options[0], options[-1]), key=lambda one: one.total_ms), None
    shortlist = sorted((one for one in options if one.cut is not None), key=lambda one: one.total_ms)[
        :_LOOKED_AT
    ]
    for option in shortlist:
        assert option.cut is not None
        written = split_file(content, option.cut, str(file))
        exact = _exact(option, written, here, there)
        options[options.index(option)] = exact
        if exact.total_ms < best.total_ms:
            if not same_answers(content, written):
                notes.append(
                    f"The cut after {option.name} is left out: its two files do not answer as the whole."
                )
                continue
            best, files = exact, written
    if not cuts:
        notes.append(
            f"{file.name} has no place where it can be cut: it keeps a state, or too many tensors cross."
        )
    head, tail = files or (None, None)
    return Split(file, here.device, link, tuple(options), best, head, tail, tuple(notes))


def save_split(split: Split, path: str | os.PathLike[str]) -> Path:
    """Write both ends of a cut network and the policy that runs them; of a network that is best not cut, the policy that runs it.

    Parameters
    ----------
    split
        What `best_split` found.
    path
        The policy's JSON file, or a folder.

    Returns
    -------
    Path
        The policy. `edgetime.load_policy(path, remote=f)` runs it; `f` gets what crosses and gives what the tail makes of it.
    """
    best, stem = split.best, split.path.stem
    target = Path(path)
    folder = target.parent if target.suffix == ".json" else target
    settings = {"link": split.link.to_dict(), "sent_bytes": best.nbytes}
    alone_ms = split.options[-1].total_ms
    expected = {"mean_ms": best.total_ms, "longest_ms": best.total_ms, "single_ms": alone_ms}
    if best.cut is None:
        here = best is split.options[-1]
        if not here:
            raise UsageError(
                f"{split.path} is best run as a whole on the other machine ({best.total_ms:.3g} ms): nothing runs here, so there "
                "is no policy to write; leave -o out."
            )
        whole = PolicyNetwork(split.path.name, stem, alone_ms)
        policy = Specification("static", split.device, (whole,), expected=expected, settings=settings)
        return save_policy(policy, [split.path], path)
    assert split.head is not None
    assert split.tail is not None
    feeds = tuple(f"cut_{number + 1}" for number in range(len(best.cut.tensors)))
    ends = (
        PolicyNetwork(f"{stem}-head.tflite", f"{stem} head", best.here_ms, answer=feeds[0]),
        PolicyNetwork(
            f"{stem}-tail.tflite",
            f"{stem} tail (there)",
            best.send_ms + best.there_ms,
            feeds=feeds,
            remote=True,
        ),
    )
    files = [folder / end.file for end in ends]
    for file, content in zip(files, (split.head, split.tail), strict=True):
        write_bytes(file, content)
    policy = Specification(
        "split", split.device, ends, expected=expected, settings={**settings, "after": best.cut.after}
    )
    return save_policy(policy, files, path)


def check_there(link: Link, there: Any) -> None:
    """Raise UsageError where the time on the other machine is not known, or known twice."""
    if (there is None) == (link.cloud_ms is None):
        raise UsageError(
            "Say how long the network takes on the other machine: either cloud_ms=… in the link or that machine's time model."
        )


def same_answers(content: bytes, written: tuple[bytes, bytes], rows: int = 3) -> bool:
    """Whether head then tail give what the whole file gives, bit for bit, on rows of random numbers."""
    from compressor.export import TfliteRunner

    whole, head, tail = TfliteRunner(content), *map(TfliteRunner, written)
    random = np.random.default_rng(0)
    given: dict[str, Any] = {}
    for name, shape in whole.input_shapes.items():
        dtype = np.dtype(whole.input_dtypes[name])
        values = random.normal(size=(rows, *shape[1:]))
        given[name] = (20 * np.abs(values) if dtype.kind in "iu" else values).astype(dtype)
    middle = dict(zip(head.output_dtypes, _list(head.predict(given)), strict=True)) | given
    found = _list(tail.predict({name: middle[name] for name in tail.input_shapes}))
    wanted = _list(whole.predict(given))
    return all(np.array_equal(one, other, equal_nan=True) for one, other in zip(found, wanted, strict=True))


def _exact(
    option: SplitOption, written: tuple[bytes, bytes], here: NetworkPredictor, there: NetworkPredictor | None
) -> SplitOption:
    """With the times that the two files are predicted to take."""
    head = here.predict(read_network(written[0]))
    there_ms = option.there_ms if there is None else there.predict(read_network(written[1])).predicted_ms
    return replace(option, here_ms=head.predicted_ms, there_ms=there_ms)


def _option(
    cut: Cut | None,
    name: str,
    here_ms: float,
    there_ms: float,
    nbytes: int,
    link: Link,
    compute_mj: float | None,
) -> SplitOption:
    sending_mj = link.send_mj(nbytes)
    energy_mj = None if compute_mj is None or sending_mj is None else compute_mj + sending_mj
    return SplitOption(cut, name, here_ms, link.send_ms(nbytes), there_ms, nbytes, energy_mj)


def _sums(network: Network, prediction: NetworkPrediction) -> np.ndarray:
    """Predicted time up to before each operator of the main graph, and of all [operators + 1]; the call's own time counts first."""
    times: list[float] = []
    for edge, layer in zip(network.edges, prediction.layers, strict=True):
        if edge.graph == 0:
            times.append(layer.predicted_ms)
        elif times:
            times[-1] += layer.predicted_ms
    call_ms = max(prediction.predicted_ms - sum(times), 0.0)
    return call_ms + np.concatenate([[0.0], np.cumsum(times)])


def _input_bytes(network: Network) -> int:
    return sum(network.tensors[index].nbytes for index in network.inputs)


def _known(value: float | None) -> float:
    if value is None:
        raise EdgetimeError("The time there is not known.")
    return value


def _list(outputs: Any) -> Sequence[Any]:
    return outputs if isinstance(outputs, list) else [outputs]
