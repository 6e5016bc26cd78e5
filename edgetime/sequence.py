"""Sequence to sequence on the device: ``edgetime.sequence.export`` and what runs and tunes its files.

Everything is imported when first used, so that a board needs numpy and LiteRT alone::

    import edgetime.sequence as sequence

    file = sequence.export(encoder, decoder_step, "translate.json", widths=(1, 2, 4, 7), source_tokens="de.model",
                           target_tokens="en.model")
    sequence.load(file)("Ein Hund läuft.").text
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profiler.progress import ProgressCallback
    from selector.sequence import SearchOptions
    from timemodel.model import TimeModel

PathLike = str | os.PathLike[str]

_HOMES = {
    "DeviationWidth": ("selector.sequence", "DeviationWidth"),
    "EntropyWidth": ("selector.sequence", "EntropyWidth"),
    "FixedWidth": ("selector.sequence", "FixedWidth"),
    "LearnedWidth": ("selector.sequence", "LearnedWidth"),
    "SearchOptions": ("selector.sequence", "SearchOptions"),
    "SequencePolicy": ("selector.sequence", "SequencePolicy"),
    "ThresholdPruning": ("selector.sequence", "ThresholdPruning"),
    "WidthPolicy": ("selector.sequence", "WidthPolicy"),
    "beam_search": ("selector.sequence", "beam_search"),
    "best_first_search": ("selector.sequence", "best_first_search"),
    "choose_palette": ("compressor.sequence", "choose_palette"),
    "load": ("selector.sequence", "load_sequence_policy"),
    "register_width_policy": ("selector.sequence", "register_width_policy"),
    "tune_widths": ("selector.sequence_tuning", "tune_widths"),
}
"""Where each public name lives; `__getattr__` imports it from there."""

__all__ = sorted([*_HOMES, "export", "palette_of"])

WIDEST = 12


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgetime.sequence' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def export(
    encoder: Any,
    decoder_step: Callable[[int], Any],
    out: PathLike,
    widths: Sequence[int] = (1, 2, 3, 4, 5),
    quantize: str = "none",
    sources: Sequence[Sequence[int]] | None = None,
    *,
    source_tokens: PathLike | None = None,
    target_tokens: PathLike | None = None,
    begin: int = 2,
    end: int = 3,
    ends_source: bool = True,
    longest: int | None = None,
    search: SearchOptions | None = None,
    time_model: TimeModel | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Write a sequence-to-sequence network as one `.tflite` file, and a policy that runs it, ready for ``edgetime run --text``.

    The file was compared with Keras step by step before it got its name. The policy's width is the widest of the palette, at most
    5: ``edgetime tune-beam`` finds a better one.

    Parameters
    ----------
    encoder, decoder_step, widths, quantize, sources, begin, end
        See `compressor.sequence.export_sequence`.
    out
        The policy's JSON file; the network is written beside it, as ``.tflite``.
    source_tokens, target_tokens
        SentencePiece models of both sides; without them lines are numbers of tokens.
    ends_source
        Whether the encoder was trained on sources that end with `end`.
    longest
        Most steps; needed by no network with caches, which says it itself.
    search
        What is asked of a search.
    time_model
        Of the device: predicted times of encoder and steps are written into the policy.

    Returns
    -------
    Path
        The JSON file.

    Examples
    --------
    >>> export(encoder, decoder_step, "translate.json", widths=(1, 2, 4, 7))    # doctest: +SKIP
    """
    from compressor.sequence import export_sequence
    from profiler.progress import silent
    from selector.sequence import FixedWidth, SearchOptions, SequencePolicy, save_sequence_policy
    from selector.sequence_tuning import predicted_costs

    target = Path(out)
    found = export_sequence(
        encoder,
        decoder_step,
        target.with_suffix(".tflite"),
        widths,
        quantize,
        sources,
        begin=begin,
        end=end,
        progress=progress or silent,
    )
    policy = SequencePolicy(
        found.path.name,
        found.widths,
        found.vocabulary,
        begin=begin,
        end=end,
        ends_source=ends_source,
        longest=longest,
        widths=FixedWidth(max((width for width in found.widths if width <= 5), default=found.widths[0])),
        search=search or SearchOptions(),
    )
    if time_model is not None:
        policy = predicted_costs(time_model, found.path, found.widths).added_to(policy)
    tokens = [None if one is None else Path(one) for one in (source_tokens, target_tokens)]
    return save_sequence_policy(policy, target, found.path, *tokens)


def palette_of(
    time_model: TimeModel, decoder_step: Callable[[int], Any], widest: int = WIDEST, gain: float = 0.07
) -> tuple[int, ...]:
    """The widths worth compiling a decoder for on a device: see `compressor.sequence.choose_palette`.

    Times of all widths up to `widest` are predicted, so that nothing has to be measured.
    """
    from compressor.sequence import choose_palette, step_bytes
    from profiler.tflite import read_network

    times = {
        width: float(time_model.predict(read_network(step_bytes(decoder_step, width))).predicted_ms)
        for width in range(1, widest + 1)
    }
    return choose_palette(times, gain)
