"""Rules of recurrent layers and of the wrappers around them.

A unit is its column in each gate's kernels and bias, its row in the recurrent kernel and its place in every state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compressor.graph.rules.base import Outputs, Rule, activated, each, in_words, require_channels_last
from compressor.graph.rules.recorder import ChannelIds, Frozen, Recorder
from compressor.graph.topology import Call, kind_of

_GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4, "ConvLSTM1D": 4, "ConvLSTM2D": 4, "ConvLSTM3D": 4}
_STATES = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2, "ConvLSTM1D": 2, "ConvLSTM2D": 2, "ConvLSTM3D": 2}
_CELLS = {"SimpleRNNCell": "SimpleRNN", "GRUCell": "GRU", "LSTMCell": "LSTM"}


def _cell(
    call: Call, kind: str, source: ChannelIds, states: Sequence[ChannelIds], recorder: Recorder
) -> tuple[ChannelIds, ...]:
    """One cell and its weights: the channels of its output and of each state."""
    config, gates = call.config, _GATES[kind]
    if len(states) not in (0, _STATES[kind]):
        raise Frozen("it is given more than its states")
    key = "filters" if kind.startswith("Conv") else "units"
    out = recorder.new(config[key])
    every = np.tile(out, gates)
    recorder.count(call, key, out)
    recorder.axis(call, "kernel", -2, source, "in")
    recorder.axis(call, "kernel", -1, every, "out")
    recorder.axis(call, "recurrent_kernel", -2, out, "in")
    recorder.axis(call, "recurrent_kernel", -1, every, "out")
    if "bias" in call.variables:
        recorder.axis(call, "bias", -1, every, "out")
    activated(call, recorder, out, ("activation", "recurrent_activation"))
    for state in states:
        recorder.tie(out, state)
    return (out,) * (1 + _STATES[kind])


def _results(call: Call, found: tuple[ChannelIds, ...]) -> Outputs:
    return found if call.config.get("return_state") else found[0]


def _refuse_state(call: Call) -> None:
    if call.config.get("stateful"):
        raise Frozen("it carries its state from one call to the next")
    require_channels_last(call)


def _recurrent(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    _refuse_state(call)
    return _results(call, _cell(call, call.kind, inputs[0], inputs[1:], recorder))


def _rnn(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """``RNN(cell)`` of a built-in cell."""
    _refuse_state(call)
    kind = kind_of(call.config["cell"])
    if kind not in _CELLS:
        raise Frozen(f"no rule for {in_words(kind, 'cell')}")
    cell = _inner(call, "cell", list(call.weights))
    return _results(call, _cell(cell, _CELLS[kind], inputs[0], inputs[1:], recorder))


def _inner(call: Call, key: str, variables: list[tuple[str, tuple[int, ...]]]) -> Call:
    """The cell or layer under `key` with the first of these weights, which it uses up."""
    config = call.config[key]["config"]
    names = ["kernel", "recurrent_kernel", *(["bias"] if config.get("use_bias", True) else [])]
    mine = variables[: len(names)]
    del variables[: len(names)]
    if len(mine) != len(names):
        raise Frozen("it has other weights than expected")
    return call.inner(key, dict(zip(names, mine, strict=True)))


def _bidirectional(call: Call, inputs: Sequence[ChannelIds], recorder: Recorder) -> Outputs:
    """Two layers side by side; what they make is put together as `merge_mode` says."""
    variables, half = list(call.weights), (len(inputs) - 1) // 2
    both: list[tuple[ChannelIds, ...]] = []
    for key, states in (("layer", inputs[1 : 1 + half]), ("backward_layer", inputs[1 + half :])):
        kind = kind_of(call.config[key])
        if kind not in _GATES or kind.startswith("Conv"):
            raise Frozen(f"no rule for {in_words(kind)} inside it")
        inner = _inner(call, key, variables)
        _refuse_state(inner)
        both.append(_cell(inner, kind, inputs[0], states, recorder))
    forward, backward = both
    # Keras takes both to be as wide as the forward one.
    recorder.tie(forward[0], backward[0])
    mode = call.config["merge_mode"]
    outputs: tuple[ChannelIds, ...]
    if mode == "concat":
        outputs = (np.concatenate([forward[0], backward[0]]),)
    elif mode is None:
        outputs = (forward[0], backward[0])
    else:
        outputs = (forward[0],)
    if call.config["layer"]["config"].get("return_state"):
        outputs += forward[1:] + backward[1:]
    return outputs


RULES: Mapping[str, Rule] = {
    **each("SimpleRNN GRU LSTM ConvLSTM1D ConvLSTM2D ConvLSTM3D", _recurrent),
    **each("RNN", _rnn),
    **each("Bidirectional", _bidirectional),
}
