"""How DeepIoT's threshold rises, and at which rates its networks learn."""

from __future__ import annotations

from dataclasses import dataclass

from compressor.training import check_least
from profiler.errors import UsageError


@dataclass(frozen=True)
class ThresholdSchedule:
    """How the threshold rises; see `compressor.search.deepiot.method.DeepIoT`."""

    iterations: int
    steps: int
    final_threshold: float
    shrink: float
    margin: float

    def __post_init__(self) -> None:
        check_least("iterations", self.iterations)
        check_least("steps", self.steps)
        for key, share in (("final_threshold", self.final_threshold), ("shrink", self.shrink)):
            if not 0 < share < 1:
                raise UsageError(f"{key} must be between 0 and 1, not {share}.")


@dataclass(frozen=True)
class Rates:
    """How the two networks learn.

    The paper's code has 500 iterations for each step of the threshold, critic_rate 1e-4, compressor_rate 1e-3,
    recurrent_keep 0.5 and no distillation. With a twentieth of the iterations these hardly leave where they began; so the
    rates here are ten times those and more, and the original teaches the critic as it does in fine-tuning.

    Parameters
    ----------
    critic_rate, critic_beta_1, critic_beta_2
        Of Adam, for the network that is compressed.
    l2
        Times half the sum of its squared weights, biases and scales left out, is added to its loss.
    compressor_rate, units
        Of the compressor: RMSProp's rate, and its units.
    decay
        Of the moving averages of the loss and of its deviation.
    alpha, temperature
        Of distillation in the critic's training, as in `compressor.training.Schedule`.
    keep, recurrent_keep
        The probabilities that channels begin with, those of recurrent layers apart.
    """

    batch_size: int = 64
    critic_rate: float = 3e-3
    critic_beta_1: float = 0.5
    critic_beta_2: float = 0.9
    l2: float = 5e-4
    compressor_rate: float = 1e-2
    decay: float = 0.9
    units: int = 64
    alpha: float = 0.7
    temperature: float = 3.0
    keep: float = 0.8
    recurrent_keep: float = 0.8
