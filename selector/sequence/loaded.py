"""A sequence policy that runs: lines to lines."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from profiler.errors import DataError, EdgetimeWarning
from selector.sequence.network import SequenceNetwork
from selector.sequence.policy import SequencePolicy
from selector.sequence.search import Hypothesis, SearchResult, SearchTimes, beam_search
from selector.sequence.tokens import Tokenizer
from selector.sequence.widths import WidthPolicy


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
    stage
        How many policies were not sure enough before the one that answered.
    """

    text: str
    others: tuple[str, ...]
    found: SearchResult
    timing: SearchTimes
    predicted_ms: float | None = None
    predicted_mj: float | None = None
    cut: bool = False
    stage: int = 0

    def after(self, first: Translated) -> Translated:
        """What this takes with the one that was not sure enough before it."""
        return replace(
            self,
            timing=self.timing + first.timing,
            predicted_ms=_sum(self.predicted_ms, first.predicted_ms),
            predicted_mj=_sum(self.predicted_mj, first.predicted_mj),
            stage=self.stage + 1,
        )

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
            "stage": self.stage,
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
    then : LoadedSequencePolicy or None
        What answers where this is not sure enough.
    """

    def __init__(
        self,
        policy: SequencePolicy,
        file: Path,
        network: SequenceNetwork,
        then: LoadedSequencePolicy | None = None,
    ) -> None:
        self.policy = policy
        self.then = then
        self.file = file
        self.network = network
        folder = file.parent
        source, target = (
            None if name is None else folder / name for name in (policy.source_tokens, policy.target_tokens)
        )
        self.source = Tokenizer(source)
        self.target = Tokenizer(target, network.vocabulary)

    def with_palette(self, widths: Sequence[int]) -> LoadedSequencePolicy:
        """The same policy on some of its network's widths."""
        policy = replace(self.policy, palette=tuple(widths))
        file = self.network.file
        network = SequenceNetwork(
            file.read_bytes(), policy.begin, policy.end, policy.longest, file, widths=policy.palette
        )
        return LoadedSequencePolicy(policy, self.file, network, self.then)

    def tokens(self, text: str) -> list[int]:
        """Tokens of a line as the encoder takes them; none for an empty one."""
        found = self.source.encode(text)
        return [*found, self.policy.end] if found and self.policy.ends_source else found

    def search(
        self, source: Sequence[int], timing: SearchTimes | None = None, widths: WidthPolicy | None = None
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
        timing = SearchTimes()
        found = self.search(source, timing)
        best, *others = (self.text_of(one) for one in found.hypotheses)
        policy, ran = self.policy, found.run_widths
        answer = Translated(
            best,
            tuple(others),
            found,
            timing,
            policy.predicted_ms(found.widths, ran) if ran else 0.0,
            policy.predicted_mj(ran) if ran else 0.0,
            too_long,
        )
        if self.then is not None and ran and found.best.per_token < policy.least:
            return self.then(text, cut).after(answer)
        return answer

    def text_of(self, hypothesis: Hypothesis) -> str:
        """The text of an output."""
        return self.target.decode(hypothesis.tokens)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
