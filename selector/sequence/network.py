"""A sequence-to-sequence network in one `.tflite` file: an encoder, and one step of its decoder for some widths.

Signatures and names of the file (`compressor.sequence.export` writes it):

- ``encode``: ``tokens`` [1, source] to anything by name.
- ``step_W``: ``token`` [W], perhaps ``position`` [1], what the encoder gave by the same names, and states [W, ...]; to ``logits``
  [W, vocabulary], perhaps ``probabilities`` (their softmax), the highest of them as ``top_probabilities`` with ``top_tokens``
  [W, few], perhaps ``attention`` [W, source], and states by the same names.

A state starts as the encoder's output of its name, or as zeros. One that comes out without its second axis is one entry of a
cache: it is written behind those of the steps before, so that no cache is copied while hypotheses stay where they are.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import EdgetimeError, ModelFileError
from selector.runtime import make_interpreter
from selector.sequence.decoder import StepDecoder, Top

ENCODER = "encode"
STEP = "step_"

_FED = ("token", "position")
_PLACES = np.arange(1 << 12)


class SequenceNetwork(StepDecoder):
    """Runs a file of the kind that this module describes.

    Parameters
    ----------
    content
        The `.tflite` file's.
    begin, end
        Tokens that begin and end an output.
    longest
        Most steps; None for as many as its caches hold, or 1,000 where it has none.
    file
        For messages.
    threads
        Threads of each signature.
    widths
        Which of its widths run: each has weights of its own in memory, and those of few stay in the processor's caches. Empty:
        all; those that it has not are left out.

    Raises
    ------
    ModelFileError
        LiteRT does not load it, or it is no sequence-to-sequence network.
    """

    def __init__(
        self,
        content: bytes,
        begin: int,
        end: int,
        longest: int | None = None,
        file: Path = Path("network.tflite"),
        threads: int = 1,
        widths: Sequence[int] = (),
    ) -> None:
        self.file, self.begin, self.end = file, begin, end
        try:
            self._interpreter = make_interpreter(content, threads)
            names = list(self._interpreter.get_signature_list())
            known = sorted(int(found[1]) for name in names if (found := re.fullmatch(STEP + r"(\d+)", name)))
            widths = [width for width in known if not widths or width in widths] or known
            if ENCODER not in names or not widths:
                raise ModelFileError(
                    f"{file} has the signatures {', '.join(names) or 'none'}, not {ENCODER} and {STEP}1: "
                    "export it by edgetime.sequence.export."
                )
            self._encoder = _Signature(self._interpreter, ENCODER)
            self._steps = {width: _Signature(self._interpreter, f"{STEP}{width}") for width in widths}
        except (ValueError, RuntimeError, KeyError) as error:
            detail = " ".join(str(error).split())[:200]
            raise ModelFileError(f"{file} does not load in LiteRT ({detail}): export it anew.") from error
        self.palette = tuple(widths)
        first = self._steps[widths[0]]
        self._check(first)
        self.vocabulary = int(first.outputs["logits"].shape[-1])
        (self._tokens,) = self._encoder.inputs.values()
        self.source_longest = int(self._tokens.shape[-1])
        caches = [name for name in first.states if first.outputs[name].ndim < first.inputs[name].ndim]
        self._caches = frozenset(caches)
        held = min((int(first.inputs[name].shape[1]) for name in caches), default=1000)
        if longest is not None and longest > held:
            raise ModelFileError(f"{file} holds {held} steps in its caches, not {longest}: export it anew.")
        self.longest = held if longest is None else longest
        # Chosen by what runs next; the list for hypotheses 1, 2, … spares a search in each step.
        self._by_count = [first, *(self._steps[self.width_for(count)] for count in range(1, widths[-1] + 1))]
        self._position = 0
        self._last: _Signature | None = None
        self._loaded: set[int] = set()
        self._known_ways: dict[tuple[int, int], tuple[list[Any], list[Any]]] = {}

    def _check(self, step: _Signature) -> None:
        missing = [name for name in ("token",) if name not in step.inputs]
        missing += [name for name in ("logits",) if name not in step.outputs]
        unknown = [
            name
            for name in step.inputs
            if name not in _FED and name not in step.outputs and name not in self._encoder.outputs
        ]
        if missing or unknown or len(self._encoder.inputs) != 1:
            what = (
                f"no {missing[0]} in its step"
                if missing
                else f"an input {unknown[0]} that nothing gives"
                if unknown
                else "several inputs"
            )
            raise ModelFileError(f"{self.file} has {what}: export it by edgetime.sequence.export.")

    def start(self, source: Sequence[int]) -> None:
        """Encode a source; then there is one hypothesis, which holds nothing."""
        if not min(source, default=0) >= 0 or len(source) > self.source_longest:
            raise EdgetimeError(
                f"{self.file} takes up to {self.source_longest} tokens from 0, not {list(source)}."
            )
        self._tokens[:] = 0
        self._tokens[0, : len(source)] = source
        try:
            self._encoder.invoke()
        except RuntimeError as error:
            raise EdgetimeError(
                f"{self.file} cannot encode {list(source)} ({error}): take tokens of its own vocabulary."
            ) from error
        self._position = 0
        self._last = None
        self._loaded.clear()

    def step(self, tokens: NDArray[np.int32], parents: NDArray[np.intp]) -> NDArray[np.float32]:
        """Scores of the next token; see `StepDecoder.step`."""
        count = len(tokens)
        step = self._by_count[count]
        if step.graph not in self._loaded:
            self._prepare(step)
        self._hand_over(step, parents, count)
        return self._invoked(step, tokens, count)

    def _prepare(self, step: _Signature) -> None:
        """Give what is the same for a whole source to a step that runs the first time for it."""
        for name in step.constants:
            step.inputs[name][...] = self._encoder.outputs[name]
        # What is not yet written of a cache is zeros, as in Keras: hiding it need not be perfect.
        for name in self._caches:
            step.inputs[name][:, : step.entries] = 0
        step.entries = 0
        self._loaded.add(step.graph)

    def _invoked(self, step: _Signature, tokens: Any, count: int) -> NDArray[np.float32]:
        step.token[:count] = tokens
        if step.position is not None:
            step.position[0] = self._position
        step.invoke()
        self._position += 1
        self._last, self._count = step, count
        return step.logits[:count]

    def _begin(self, step: _Signature, count: int) -> None:
        """Give a first step its states: the encoder's, or zeros."""
        for name in step.states:
            if name in self._encoder.outputs:
                step.inputs[name][:count] = self._encoder.outputs[name][:1]
            elif name not in self._caches:
                step.inputs[name][:count] = 0

    def _hand_over(self, step: _Signature, parents: NDArray[np.intp], count: int) -> None:
        """Give the states of the last step to the next one, as its hypotheses continue them."""
        last, entry = self._last, self._position - 1
        step.entries = max(step.entries, self._position)
        if last is None:
            self._begin(step, count)
            return
        states, caches = self._ways(last, step)
        for target, found in states:
            found.take(parents, 0, target[:count], "clip")
        if not caches:
            return
        moved = (parents != _PLACES[:count]).nonzero()[0]
        for target, found, before in caches:
            if not len(moved):
                if step is not last:
                    target[:count, :entry] = before[:count, :entry]
                target[:count, entry] = found[:count]
                continue
            if step is not last:
                target[:count, :entry] = before[parents, :entry]
            elif entry:
                target[moved, :entry] = before[parents[moved], :entry]
            target[:count, entry] = found[parents]

    def _ways(self, last: _Signature, step: _Signature) -> tuple[list[Any], list[Any]]:
        """Where states and caches come from and go to between two widths: memory that stays, looked up once."""
        key = last.graph, step.graph
        if key not in self._known_ways:
            self._known_ways[key] = (
                [(step.inputs[n], last.outputs[n]) for n in step.states if n not in self._caches],
                [(step.inputs[n], last.outputs[n], last.inputs[n]) for n in step.states if n in self._caches],
            )
        return self._known_ways[key]

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        """Softmax of the last step's logits; None where the network gives none."""
        last = self._last
        return None if last is None or last.probabilities is None else last.probabilities[: self._count]

    @property
    def top(self) -> Top | None:
        """The highest probabilities and their tokens; None where the network gives none."""
        last = self._last
        if last is None or last.top_tokens is None:
            return None
        return Top(last.top_probabilities[: self._count].tolist(), last.top_tokens[: self._count].tolist())

    @property
    def attention(self) -> NDArray[np.float32] | None:
        """Attention to each source token in the last step; None where the network gives none."""
        if self._last is None or "attention" not in self._last.outputs:
            return None
        return self._last.outputs["attention"][: self._count]

    def state(self, row: int) -> Any:
        """Copies of the states of one hypothesis, with how many steps they hold."""
        last, entry = self._last, self._position - 1
        states: dict[str, NDArray[Any]] = {}
        for name in self._by_count[1].states:
            if last is None:
                if name in self._encoder.outputs:
                    states[name] = self._encoder.outputs[name][0].copy()
            elif name in self._caches:
                held = last.inputs[name][row, :entry]
                states[name] = np.concatenate([held, last.outputs[name][row][None]])
            else:
                states[name] = last.outputs[name][row].copy()
        return self._position, states

    def step_from(self, token: int, state: Any) -> NDArray[np.float32]:
        """Scores of the next token [vocabulary] of one hypothesis that stopped at `state`."""
        self._position, states = state
        step = self._by_count[1]
        step.entries = max(step.entries, self._position)
        if step.graph not in self._loaded:
            self._prepare(step)
        for name in step.states:
            target = step.inputs[name]
            if name in self._caches:
                target[0, : self._position] = states.get(name, 0)
                target[0, self._position :] = 0
            else:
                target[0] = states.get(name, 0)
        return self._invoked(step, token, 1)[0]


class _Signature:
    """One signature, its tensors as arrays on the memory that LiteRT computes in."""

    def __init__(self, interpreter: Any, key: str) -> None:
        wrapper = interpreter._interpreter
        runner = interpreter.get_signature_runner(key)
        self.graph = int(getattr(runner, "_subgraph_index", 0))
        wrapper.AllocateTensors(self.graph)
        details = runner.get_input_details(), runner.get_output_details()
        for detail in details[0].values():
            zeros = np.zeros(detail["shape"], detail["dtype"])
            wrapper.SetTensor(detail["index"], zeros, self.graph)
        # The first run settles where tensors lie.
        wrapper.Invoke(self.graph)
        self.inputs, self.outputs = (
            {name: wrapper.tensor(interpreter, one["index"], self.graph) for name, one in group.items()}
            for group in details
        )
        self.invoke: Callable[[], Any] = functools.partial(wrapper.Invoke, self.graph)
        self.states = [name for name in self.inputs if name in self.outputs]
        self.constants = [name for name in self.inputs if name not in self.outputs and name not in _FED]
        self.entries = 0
        """How many entries of its caches may not be zeros."""
        self.token: Any = self.inputs.get("token")
        self.position: Any = self.inputs.get("position")
        self.logits: Any = self.outputs.get("logits")
        self.probabilities: Any = self.outputs.get("probabilities")
        self.top_probabilities: Any = self.outputs.get("top_probabilities")
        self.top_tokens: Any = self.outputs.get("top_tokens")
