"""A sequence policy: a network, its tokens, a search and its widths, as one JSON file; `load_sequence_policy` runs it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from profiler.errors import DataError, EdgetimeError, EdgetimeWarning, missing
from profiler.files import replacing, write_json
from selector.sequence.network import SequenceNetwork
from selector.sequence.scoring import SearchOptions
from selector.sequence.search import Hypothesis, SearchResult, Timing, beam_search
from selector.sequence.tokens import Tokenizer
from selector.sequence.widths import FixedWidth, WidthPolicy, width_policy

FORMAT = "edgetime.sequence"
VERSION = 1

_AGAIN = "write it again with edgetime.sequence.export or 'edgetime tune-beam'"


@dataclass(frozen=True)
class SequencePolicy:
    """What is run, as plain values.

    Parameters
    ----------
    network, source_tokens, target_tokens
        Names of the `.tflite` file and of the SentencePiece models of both sides in the policy's folder; the latter None for lines
        of numbers.
    palette, vocabulary
        Widths at which the decoder runs, and number of target tokens: what the policy was made for.
    begin, end
        Tokens that begin and end an output.
    ends_source
        Whether a source ends with `end` too.
    longest
        Most steps; None for what the decoder's caches hold.
    widths, search
        How wide the beam is, and what is asked of a search.
    device, encoder_ms, step_ms
        The device that predicted times are of; the encoder's, and a step's by width; None and empty where they are unknown.
    expected
        What was seen on the rows that it was tuned on.
    """

    network: str
    palette: tuple[int, ...]
    vocabulary: int
    source_tokens: str | None = None
    target_tokens: str | None = None
    begin: int = 2
    end: int = 3
    ends_source: bool = True
    longest: int | None = None
    widths: WidthPolicy = field(default_factory=FixedWidth)
    search: SearchOptions = field(default_factory=SearchOptions)
    device: str = ""
    encoder_ms: float | None = None
    step_ms: Mapping[int, float] = field(default_factory=dict)
    encoder_mj: float | None = None
    step_mj: Mapping[int, float] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)

    def predicted_ms(self, run_widths: Sequence[int]) -> float | None:
        """Predicted time of a sentence whose steps ran at some widths of the palette; None where the steps' times are unknown."""
        if self.encoder_ms is None or any(width not in self.step_ms for width in run_widths):
            return None
        return self.encoder_ms + sum(self.step_ms[width] for width in run_widths)

    def predicted_mj(self, run_widths: Sequence[int]) -> float | None:
        """Likewise its energy."""
        if self.encoder_mj is None or any(width not in self.step_mj for width in run_widths):
            return None
        return self.encoder_mj + sum(self.step_mj[width] for width in run_widths)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("step_ms", "step_mj"):
            plain[name] = {str(width): value for width, value in plain[name].items()}
        return {
            **plain,
            "palette": list(self.palette),
            "widths": self.widths.to_dict(),
            "search": self.search.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SequencePolicy:
        """What `to_dict` gave; TypeError, ValueError or EdgetimeError where it is damaged."""
        given = dict(value)
        given["palette"] = tuple(int(width) for width in given["palette"])
        for name in ("step_ms", "step_mj"):
            given[name] = {int(width): float(one) for width, one in given.get(name, {}).items()}
        given["widths"] = width_policy(given["widths"])
        given["search"] = SearchOptions.from_dict(given["search"])
        return cls(**given)


@dataclass(frozen=True)
class Translated:
    """The output for one line, and what it took.

    Parameters
    ----------
    text, others
        The best output, and those after it where several were asked for.
    found
        What the search found and ran.
    timing
        Measured times of its parts.
    predicted_ms, predicted_mj
        Predicted time and energy; None where the policy knows none.
    cut
        Whether the source was cut to what the encoder takes.
    """

    text: str
    others: tuple[str, ...]
    found: SearchResult
    timing: Timing
    predicted_ms: float | None = None
    predicted_mj: float | None = None
    cut: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "text": self.text,
            "others": list(self.others),
            "score": self.found.best.score,
            "log_probability": self.found.best.log_probability,
            "steps": len(self.found.widths),
            "widths": list(self.found.widths),
            "run_widths": list(self.found.run_widths),
            "mean_width": self.found.mean_width,
            "measured_ms": 1e3 * self.timing.whole_s,
            "encoder_ms": 1e3 * self.timing.encoder_s,
            "decoder_ms": 1e3 * self.timing.decoder_s,
            "policy_ms": 1e3 * self.timing.policy_s,
            "predicted_ms": self.predicted_ms,
            "predicted_mj": self.predicted_mj,
            "cut": self.cut,
        }


class LoadedSequencePolicy:
    """Translates lines; made by `load_sequence_policy`.

    Attributes
    ----------
    policy : SequencePolicy
        What it is.
    file : Path
        Its JSON file.
    network : SequenceNetwork
        What runs.
    """

    def __init__(self, policy: SequencePolicy, file: Path, network: SequenceNetwork) -> None:
        self.policy = policy
        self.file = file
        self.network = network
        folder = file.parent
        source, target = (
            None if name is None else folder / name for name in (policy.source_tokens, policy.target_tokens)
        )
        self.source = Tokenizer(source)
        self.target = Tokenizer(target, network.vocabulary)

    def tokens(self, text: str) -> list[int]:
        """Tokens of a line as the encoder takes them; none for an empty one."""
        found = self.source.encode(text)
        return [*found, self.policy.end] if found and self.policy.ends_source else found

    def search(
        self, source: Sequence[int], timing: Timing | None = None, widths: WidthPolicy | None = None
    ) -> SearchResult:
        """Search for the outputs of one source, by its own widths or others."""
        return beam_search(self.network, source, widths or self.policy.widths, self.policy.search, timing)

    def __call__(self, text: str, cut: bool = False) -> Translated:
        """Translate one line.

        Parameters
        ----------
        text
            The line; an empty one gives an empty output.
        cut
            Whether a line that the encoder cannot take is cut, with a warning; else it is a DataError.
        """
        source = self.tokens(text)
        too_long = len(source) > self.network.source_longest
        if too_long and cut:
            warnings.warn(
                f"'{text.strip()[:40]}…' has {len(source)} tokens, and the encoder takes {self.network.source_longest}: "
                "the rest is left out.",
                EdgetimeWarning,
                stacklevel=2,
            )
            last = source[-1:] if self.policy.ends_source else []
            source = [*source[: self.network.source_longest - len(last)], *last]
        elif too_long:
            raise DataError(
                f"'{text.strip()[:40]}…' has {len(source)} tokens, and the encoder takes {self.network.source_longest}: split it."
            )
        timing = Timing()
        found = self.search(source, timing)
        best, *others = (self.text_of(one) for one in found.hypotheses)
        policy, ran = self.policy, found.run_widths
        return Translated(
            best,
            tuple(others),
            found,
            timing,
            policy.predicted_ms(ran) if ran else 0.0,
            policy.predicted_mj(ran) if ran else 0.0,
            too_long,
        )

    def text_of(self, hypothesis: Hypothesis) -> str:
        """The text of an output."""
        return self.target.decode(hypothesis.tokens)


def save_sequence_policy(
    policy: SequencePolicy,
    path: str | os.PathLike[str],
    network: Path,
    source_tokens: Path | None = None,
    target_tokens: Path | None = None,
) -> Path:
    """Write a policy; the files that it names are copied beside it where they lie elsewhere.

    Returns
    -------
    Path
        The JSON file; it is written last.
    """
    target = Path(path)
    names: dict[str, str | None] = {}
    checksums = {}
    for role, file in (
        ("network", network),
        ("source_tokens", source_tokens),
        ("target_tokens", target_tokens),
    ):
        names[role] = None if file is None else _beside(file, target)
        if file is not None:
            checksums[role] = _digest(file)
    whole = replace(policy, **names)  # type: ignore[arg-type]
    write_json(target, {"format": FORMAT, "version": VERSION, **whole.to_dict(), "sha256": checksums})
    return target


def is_sequence_policy(path: str | os.PathLike[str]) -> bool:
    """Whether a file says that it is a sequence policy."""
    try:
        return f'"{FORMAT}"' in Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def load_sequence_policy(path: str | os.PathLike[str], threads: int = 1) -> LoadedSequencePolicy:
    """Read a sequence policy and get its network ready; needs numpy, LiteRT, and for text SentencePiece.

    Raises
    ------
    EdgetimeError
        It is missing, damaged, of another version, names what was changed, or is for another network.

    Examples
    --------
    >>> policy = load_sequence_policy("policy.json")                             # doctest: +SKIP
    >>> policy("Ein Hund läuft.").text                                           # doctest: +SKIP
    """
    file = Path(path)
    policy = read_sequence_policy(file)
    content = (file.parent / policy.network).read_bytes()
    network = SequenceNetwork(
        content, policy.begin, policy.end, policy.longest, file.parent / policy.network, threads
    )
    if network.palette != policy.palette or network.vocabulary != policy.vocabulary:
        raise EdgetimeError(
            f"{file} is for a decoder of widths {_listed(policy.palette)} and {policy.vocabulary:,} tokens, and {network.file} has "
            f"{_listed(network.palette)} and {network.vocabulary:,}: {_AGAIN}."
        )
    return LoadedSequencePolicy(policy, file, network)


def read_sequence_policy(path: str | os.PathLike[str]) -> SequencePolicy:
    """Read a policy and check the files that it names; see `load_sequence_policy`."""
    file = Path(path)
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise missing(EdgetimeError(f"{file} does not exist: {_AGAIN}.")) from None
    except (OSError, ValueError, RecursionError) as error:
        raise EdgetimeError(f"{file} is no sequence policy ({error}): {_AGAIN}.") from error
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise EdgetimeError(f"{file} is no sequence policy: {_AGAIN}.")
    version = value.pop("version", None)
    if version != VERSION:
        raise EdgetimeError(
            f"{file} is a sequence policy of version {version!r}, and this edgetime reads {VERSION}: {_AGAIN}."
        )
    try:
        checksums = value.pop("sha256")
        policy = SequencePolicy.from_dict(value)
        for role in ("network", "source_tokens", "target_tokens"):
            name = getattr(policy, role)
            if name is None:
                continue
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"it names {name}, which is not in its folder")
            if _digest(file.parent / name) != checksums[role]:
                raise EdgetimeError(
                    f"{file.parent / name} is not the file that {file} was made with: {_AGAIN}."
                )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = " ".join(str(error).split())
        raise EdgetimeError(f"{file} is damaged ({detail}): {_AGAIN}.") from error
    return policy


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise EdgetimeError(f"Cannot read {file} ({error.strerror or error}): check the name.") from error


def _beside(file: Path, target: Path) -> str:
    """Name of a file in the folder of `target`, where it is copied to if it lies elsewhere."""
    copy = target.parent / file.name
    if copy.resolve() != file.resolve() and not (copy.exists() and _digest(copy) == _digest(file)):
        with replacing(copy) as temporary:
            shutil.copyfile(file, temporary)
    return copy.name


def _listed(widths: Sequence[int]) -> str:
    return ", ".join(map(str, widths))
